#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The status page in a real browser (headless Chromium), against a real server with some traffic: it draws its figures, in light and
# dark and on a narrow screen; nothing is logged to its console, which is where the browser reports whatever a page tried to
# load from elsewhere. Leaves screenshots.
#
#   tests/browser.sh BUILD-FOLDER SCREENSHOT-FOLDER
set -eu

build=$1
shots=$2
failed=0
server=
work=$(mktemp -d /tmp/rookery-browser-XXXXXX)
port=$((20000 + $$ % 20000))
page=http://127.0.0.1:$port/

finish() {
	[ -z "$server" ] || { kill -INT "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
	rm -rf "$work"
}
trap finish EXIT

check() {
	if [ "$2" = 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		failed=$((failed + 1))
	fi
}

has() { # NAME FILE PATTERN
	if grep -q -- "$3" "$2"; then check "$1" 0; else check "$1" 1; fi
}

# chromium NAME SIZE ARGUMENTS...: a picture, the document as it became, and the console
browse() {
	name=$1
	size=$2
	shift 2
	timeout 60 chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
		--disable-background-networking --disable-component-update --no-first-run --user-data-dir="$work/profile" \
		--window-size="$size" --virtual-time-budget=8000 --enable-logging=stderr --dump-dom --screenshot="$shots/$name.png" \
		"$@" "$page" >"$work/$name.html" 2>"$work/$name.log" || true
	console=$(grep -c 'CONSOLE' "$work/$name.log" || true)
	check "$name: nothing on the console" "$console"
	[ "$console" = 0 ] || grep CONSOLE "$work/$name.log" | head -5
	if [ "$(wc -c <"$shots/$name.png")" -gt 20000 ]; then check "$name: a picture" 0; else check "$name: a picture" 1; fi
}

mkdir -p "$shots"
cat >"$work/server.yaml" <<END
dataplane:
  sessions: 1024
  users: 4096
  conversations: 4096
  ports: [{type: socket, listen: "127.0.0.1:$port"}]
metrics: {listen: "127.0.0.1:$port"}
END
chmod 755 "$work"
"$build/rookery" run --config "$work/server.yaml" --state "$work/state" >"$work/server.log" 2>&1 &
server=$!
tries=0
until curl -sf "${page}health" >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ $tries -lt 120 ] || { cat "$work/server.log"; echo "not ok - the server did not start"; exit 1; }
	sleep 0.5
done
# Something to see: datagrams that are dropped for several reasons.
python3 - "$port" <<'END'
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for turn in range(60):
    for i in range(1 + turn % 20):
        s.sendto(os.urandom(3 + 7 * i), ("127.0.0.1", int(sys.argv[1])))
    time.sleep(0.1)
END

browse light 1280,1000
has "light: ready" "$work/light.html" 'class="pill good"'
has "light: figures came" "$work/light.html" 'data-polls="[1-9]'
if [ "$(grep -o '<svg' "$work/light.html" | wc -l)" = 8 ]; then check "light: eight graphs" 0; else check "light: eight graphs" 1; fi
has "light: lines are drawn" "$work/light.html" '<path d="M[0-9]'
has "light: drops are named" "$work/light.html" 'first byte is no type that a server takes'
has "light: the worker is shown" "$work/light.html" '<td>0</td>'
browse dark 1280,1000 --blink-settings=preferredColorScheme=0
browse narrow 420,2400
has "narrow: ready" "$work/narrow.html" 'class="pill good"'

[ $failed = 0 ] && echo "the status page is well; pictures are in $shots" || echo "$failed checks failed"
[ $failed = 0 ]
