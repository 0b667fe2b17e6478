#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# librookery builds and installs alone, without DPDK, and a stranger's program builds against what was installed: by
# pkg-config, with the shared and the static library, as C11 and as C++.
# Usage: install.sh SOURCE_ROOT
set -eu
source=$1
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# As on a machine without them: pkg-config finds none of what only the servers need.
mkdir "$work/without"
for package in libdpdk libcyaml libuv numa cmocka; do
	printf 'Name: %s\nDescription: not here\nVersion: 0\nRequires: not-installed-%s\n' "$package" "$package" \
		> "$work/without/$package.pc"
done
export PKG_CONFIG_PATH="$work/without"

meson setup "$work/build" "$source" -Dclient_only=true --prefix="$work/prefix" --libdir=lib > "$work/log" 2>&1 ||
	{ cat "$work/log"; exit 1; }
ninja -C "$work/build" -j2 install > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }

export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
cflags="$(pkg-config --cflags rookery) -Wall -Wextra -Wpedantic -Werror"
export LD_LIBRARY_PATH="$work/prefix/lib"

check() {
	[ "$("$1")" = online ] || { echo "$1 does not work"; exit 1; }
}

${CC:-cc} -std=c11 $cflags "$here/consumer.c" -o "$work/c" $(pkg-config --libs rookery)
check "$work/c"
if command -v "${CXX:-c++}" > /dev/null; then
	${CXX:-c++} -std=c++11 $cflags "$here/consumer.cc" -o "$work/cc" $(pkg-config --libs rookery)
	check "$work/cc"
fi
# The static library holds everything of the project's own.
libs=$(pkg-config --static --libs rookery | sed "s#-lrookery#$work/prefix/lib/librookery.a#")
${CC:-cc} -std=c11 $cflags "$here/consumer.c" -o "$work/static" $libs
LD_LIBRARY_PATH= check "$work/static"

# Nothing but rk_ is to be seen, and nothing of DPDK is needed.
if nm -D --defined-only "$work/prefix/lib/librookery.so" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | grep -v '^rk_'; then
	echo "the shared library shows more than rk_"
	exit 1
fi
if ldd "$work/prefix/lib/librookery.so" | grep -E 'librte|libuv|libcyaml|libnuma'; then
	echo "the shared library needs the servers' libraries"
	exit 1
fi
