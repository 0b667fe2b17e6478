#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The Debian packages on a machine that never saw Rookery: a minimal system from the mirror is booted with systemd in namespaces of its
# own, where guest.sh installs, chats, upgrades, kills and purges. Root only. About two minutes, and the mirror.
#
#   tests/deb/run.sh FOLDER-OF-PACKAGES
set -eu
here=$(cd "$(dirname "$0")" && pwd)
debs=$(cd "$1" && pwd)
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
work=$(mktemp -d /tmp/rookery-deb-XXXXXX)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT

[ "$(id -u)" -eq 0 ] || { echo "tests/deb/run.sh needs root: it boots a system in namespaces" >&2; exit 1; }

echo "making a system"
if ! mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus --aptopt='APT::Install-Recommends "false"' "$codename" "$root" \
	>"$debs/system.log" 2>&1; then
	tail -5 "$debs/system.log" >&2
	exit 1
fi
mkdir "$root/debs"
cp "$debs"/rookery_*.deb "$debs"/rookchat_*.deb "$debs"/librookery*.deb "$root/debs"
rm -f "$root"/debs/*-dbgsym_*
cp "$here/guest.sh" "$root/guest.sh"

# Their dependencies come from the mirror now; the machine that boots has no network.
echo "fetching what the packages need"
if ! systemd-nspawn --quiet --register=no --keep-unit --pipe -D "$root" sh -ec \
	'apt-get update && apt-get install --yes --download-only /debs/*.deb' >"$debs/fetch.log" 2>&1 </dev/null; then
	tail -5 "$debs/fetch.log" >&2
	exit 1
fi

cat >"$root/etc/systemd/system/guest.service" <<'END'
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=240
StandardOutput=append:/result
StandardError=append:/result
ExecStart=/bin/sh /guest.sh
END
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -s ../guest.service "$root/etc/systemd/system/default.target.wants/guest.service"

# DPDK looks into /sys/module, which nspawn leaves out, to see whether there is VFIO.
echo "booting it"
: >"$root/result"
timeout --signal=KILL 300 systemd-nspawn --quiet --boot --private-network --register=no --keep-unit --bind-ro=/sys/module -D "$root" \
	>"$debs/boot.log" 2>&1 </dev/null || true
cp "$root/result" "$debs/result.txt"
cat "$debs/result.txt"
grep -q '^passed$' "$debs/result.txt"
