#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# build.sh FOLDER: builds the Debian packages into FOLDER, from a copy of the sources there. Needs no root.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$root/meson.build")
tree=$out/rookery-$version

rm -rf "$tree"
rm -f "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
mkdir "$tree"
# What git knows, as it is now; from a release archive everything but what was built.
if git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
	(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' -) |
		tar -C "$root" --null -T - -cf - | tar -C "$tree" -xf -
	when=$(git -C "$root" log -1 --format=%ct)
else
	tar -C "$root" --exclude='./build*' -cf - . | tar -C "$tree" -xf -
	when=$(stat -c %Y "$root/meson.build")
fi
cp -a "$tree/config/debian" "$tree/debian"
rm "$tree/debian/build.sh"
maintainer=$(sed -n 's/^Maintainer: //p' "$tree/debian/control")
cat >"$tree/debian/changelog" <<END
rookery ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$when")
END

cd "$tree"
if ! dpkg-buildpackage --build=binary --unsigned-changes --no-sign >"$out/build.log" 2>&1; then
	tail -30 "$out/build.log" >&2
	exit 1
fi
cd "$out"
rm -rf "$tree"
ls -1 "$out"/*.deb
