#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Makes sure that the packages of packages.txt are there: packages.sh build, or packages.sh build test.
# As root it installs what is missing; otherwise it names it, with the command. Leaves with 1 when some are missing then.
set -eu

list=$(dirname "$0")/packages.txt
lock_wait=300 # seconds for another apt to finish

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "not a Debian system: make sure that the counterparts of $list are installed" >&2
	exit 0
fi

arch=$(dpkg --print-architecture)
missing=
for use in "$@"; do
	for package in $(awk -v use="$use" -v arch="$arch" \
		'/^[^#]/ && $2 == use && ($3 == "" || $3 == arch) { print $1 }' "$list"); do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || missing="$missing $package"
	done
done
[ -n "$missing" ] || exit 0

install="apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages; install them as root, then try again:" >&2
	echo "  sudo apt-get update && sudo $install" >&2
	exit 1
fi

# DPkg::Lock::Timeout waits for dpkg's lock, but not for the lock of the package lists.
update() {
	waited=0
	until problem=$(apt-get update 2>&1 >/dev/null); do
		case $problem in
		*lists/lock*) [ "$waited" -lt "$lock_wait" ] || break ;;
		*) break ;;
		esac
		sleep 2
		waited=$((waited + 2))
	done
	[ -z "$problem" ] || echo "$problem" >&2
}

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
update
# The lists may be good enough even if they could not be renewed: this decides.
if ! log=$($install -o DPkg::Lock::Timeout=$lock_wait --quiet 2>&1); then
	echo "$log" >&2
	echo "could not be installed; is the network there? By hand: $install" >&2
	exit 1
fi
