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
. "$(dirname "$0")/checks.sh"
page=http://127.0.0.1:$port/

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
start_server
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

conclude "the status page is well; pictures are in $shots"
