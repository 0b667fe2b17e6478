#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs inside the machine that run.sh boots.
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/root LC_ALL=C.UTF-8
work=/root/chat
mkdir -p "$work"

fail() {
	echo "FAILED: $1"
	journalctl --no-pager -o cat -u rookery | tail -40
	exit 1
}

ok() {
	echo "ok - $1"
}

# until_true SECONDS WHAT COMMAND...
until_true() {
	end=$(($(date +%s) + $1))
	what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$end" ] || fail "$what"
		sleep 0.1
	done
	ok "$what"
}

files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /root -o -path /result -o -path /debs \
		-o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd \) -prune -o -print | sort
}

# pid_of PROGRAM, of which the kernel keeps 15 characters.
pid_of() {
	name=$(printf %.15s "$1")
	systemctl show -P ControlGroup rookery | xargs -I{} cat "/sys/fs/cgroup/{}/cgroup.procs" "/sys/fs/cgroup/systemd/{}/cgroup.procs" 2>/dev/null |
		while read -r pid; do
			[ "$(cat "/proc/$pid/comm")" != "$name" ] || echo "$pid"
		done
}

# replaced PROGRAM PID: clients can log in, and it is not that process that lets them.
replaced() {
	rookctl status && [ "$(pid_of "$1")" != "$2" ]
}

# chat NAME: a client that reads its commands from $work/NAME.in and leaves its events in $work/NAME.out.
chat() {
	mkfifo "$work/$1.in"
	rookchat --user "$1" --password-file "$work/password" --state "$work/$1" --json <"$work/$1.in" >"$work/$1.out" 2>&1 &
}

apt="apt-get --quiet --yes -o Dpkg::Use-Pty=0"
files >/root/before

# ---- install ------------------------------------------------------------------------------

$apt install /debs/*.deb >/root/install.log 2>&1 || { tail -20 /root/install.log; fail "install"; }
ok "installed"
[ "$(systemctl is-active rookery)" = active ] || fail "the service runs after the installation"
[ "$(systemctl is-enabled rookery)" = enabled ] || fail "the service starts with the machine"
[ "$(systemctl show -P NotifyAccess rookery)" = main ] || fail "notify"
ok "the service told systemd that clients can log in: $(systemctl show -P StatusText rookery)"
for program in rookery rookery-dataplane rookery-control; do
	pid=$(pid_of "$program")
	[ -n "$pid" ] || fail "$program runs"
	[ "$(stat -c %U "/proc/$pid")" = rookery ] || [ "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" = "$(id -u rookery)" ] ||
		fail "$program runs as rookery"
	[ "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")" = 0000000000000000 ] || fail "$program has no capabilities"
done
ok "three processes run as rookery, without capabilities"
[ "$(stat -c '%U %a' /var/lib/rookery /run/rookery | sort -u)" = 'rookery 700' ] || fail "its directories are its own"
rookctl status || fail "rookctl finds it without options"
# Somebody without rights is told so, not that the machine is at fault.
su -s /bin/sh nobody -c 'rookctl doctor' >/root/doctor.log || { cat /root/doctor.log; fail "rookctl doctor of a user without rights"; }
grep -q "run rookctl as root or as the server's user" /root/doctor.log || { cat /root/doctor.log; fail "what was not checked is named"; }
for program in rookery rookery-dataplane rookery-control rookctl rookchat; do
	[ "$($program --version)" = "$program $(dpkg-query -W -f '${Version}' rookery)" ] || fail "$program --version"
done
ok "programs and packages have one version"

# ---- chat --------------------------------------------------------------------------------

echo 'a password of the test' >"$work/password"
rookctl users add alice --password-file "$work/password"
rookctl users add bob --password-file "$work/password"
chat alice
exec 3>"$work/alice.in"
chat bob
exec 4>"$work/bob.in"
until_true 30 "alice logs in" grep -q '"event":"login"' "$work/alice.out"
until_true 30 "bob logs in" grep -q '"event":"login"' "$work/bob.out"
echo 'add bob hi' >&3
until_true 30 "bob is asked" grep -q '"event":"buddy_request"' "$work/bob.out"
echo 'accept alice' >&4
until_true 30 "alice has a buddy" grep -q '"event":"presence","user":"bob","status":"online"' "$work/alice.out"
echo 'msg bob through the package' >&3
until_true 30 "bob reads it" grep -q 'through the package' "$work/bob.out"

# ---- the unit -----------------------------------------------------------------------------

systemctl reload rookery || fail "reload"
ok "reloaded"
old=$(pid_of rookery-control)
kill -KILL "$old"
until_true 30 "control was killed and came back" replaced rookery-control "$old"
main=$(systemctl show -P MainPID rookery)
dataplane=$(pid_of rookery-dataplane)
$apt install --reinstall /debs/rookery_*.deb >/root/upgrade.log 2>&1 || { cat /root/upgrade.log; fail "upgrade"; }
grep 'restarted; ready' /root/upgrade.log || { cat /root/upgrade.log; fail "the upgrade replaced the processes"; }
[ "$(systemctl show -P MainPID rookery)" = "$main" ] || fail "the launcher goes on"
[ "$(pid_of rookery-dataplane)" != "$dataplane" ] || fail "another dataplane"
echo 'msg bob after the upgrade' >&3
until_true 30 "bob reads what alice wrote after the upgrade" grep -q 'after the upgrade' "$work/bob.out"
systemctl restart rookery || fail "restart"
[ "$(systemctl show -P MainPID rookery)" != "$main" ] || fail "another launcher"
echo 'msg bob after the restart' >&3
until_true 60 "bob reads what alice wrote after systemctl restart" grep -q 'after the restart' "$work/bob.out"
old=$(systemctl show -P MainPID rookery)
kill -KILL "$old"
until_true 30 "systemd started all anew after the launcher was killed" replaced rookery "$old"
echo 'msg bob after the crash' >&3
until_true 60 "bob reads what alice wrote after the crash" grep -q 'after the crash' "$work/bob.out"
[ "$(grep -c '"event":"login"' "$work/alice.out")" = 1 ] || fail "nobody logged in again"
ok "one login of alice through all of it"

echo quit >&3
echo quit >&4
wait
rookctl backup /root/backup.db || fail "backup"
systemctl stop rookery
[ "$(systemctl show -P Result rookery)" = success ] || fail "stopped cleanly"
[ ! -e /run/rookery ] || fail "nothing is left in /run"
rookctl restore /root/backup.db || fail "restore"
systemctl start rookery
rookctl users show alice >/dev/null || fail "alice is there again"
ok "stopped, restored, started"
echo 'control: {registration: maybe}' >/etc/rookery/rookery.yaml.bad
rookctl config check /etc/rookery/rookery.yaml.bad 2>&1 | grep rookery.yaml.bad:1 || fail "a mistake is named"
rm /etc/rookery/rookery.yaml.bad

# ---- hardening ------------------------------------------------------------------------------

systemd-analyze --man=no verify rookery.service || fail "systemd-analyze verify"
systemd-analyze security --threshold=15 rookery.service >/root/security.log || fail "systemd-analyze security: $(tail -1 /root/security.log)"
ok "$(tail -1 /root/security.log)"
install -D -m 644 /usr/share/rookery/systemd/devices.conf /etc/systemd/system/rookery.service.d/devices.conf
systemctl daemon-reload
systemd-analyze --man=no verify rookery.service || fail "systemd-analyze verify with devices.conf"
# systemd looks DeviceAllow=char-vfio up before ExecStartPre: at boot the module must be there already.
systemctl show -P After rookery.service | grep -q modprobe@vfio.service || fail "devices.conf loads vfio before the start"
systemctl restart rookery || fail "it starts with devices.conf"
for program in rookery-dataplane rookery-control; do
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$(pid_of $program)/status")" = "$(id -u rookery)" ] || fail "$program gave up root"
done
rookctl users show alice >/dev/null || fail "alice is there with devices.conf"
ok "started by root with devices.conf, it runs as rookery: $(systemd-analyze security rookery.service | tail -1)"
rm -r /etc/systemd/system/rookery.service.d
systemctl daemon-reload
systemctl restart rookery || fail "and without it again"
journalctl --no-pager -o cat -p warning -u rookery | grep -v -e 'killed' -e 'died' || true

# ---- remove, purge -------------------------------------------------------------------------

$apt remove rookery >/root/remove.log 2>&1 || { tail -20 /root/remove.log; fail "remove"; }
[ -e /var/lib/rookery/rookery.db ] && [ -e /var/lib/rookery/server.key ] && [ -e /etc/rookery/rookery.yaml ] ||
	fail "database, key and configuration stay when the package is removed"
[ -z "$(pid_of rookery)$(pid_of rookery-dataplane)$(pid_of rookery-control)" ] && [ ! -e /run/rookery ] || fail "removed, it does not run"
$apt install /debs/rookery_*.deb >>/root/remove.log 2>&1 || { tail -20 /root/remove.log; fail "installed again"; }
rookctl users show alice >/dev/null || fail "alice is there after remove and install"
ok "removed and installed again, with the same accounts"
$apt purge rookery rookchat librookery0 librookery-dev >/root/purge.log 2>&1 || { tail -20 /root/purge.log; fail "purge"; }
$apt autoremove --purge >>/root/purge.log 2>&1 || { tail -20 /root/purge.log; fail "autoremove"; }
files >/root/after
# The account stays, on purpose (postrm).
diff /root/before /root/after || fail "nothing is left"
ok "purged, and nothing is left"
echo passed
