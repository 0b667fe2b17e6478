#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# planted.sh [BUILD-FOLDER]: can the simulation find mistakes? Builds Rookery once for each deliberately planted one (meson's option
# `plant`, one #ifdef PLANT_... each) and says after how many seeds it was noticed. Leaves with 1 if one was not within LIMIT.
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$source/build-planted}
limit=${LIMIT:-100}
missed=0

# name, what is wrong
plants="early_receipt STORED is said before the commit
lost_inflight deliveries of a session that ends count as acknowledged
replay_window the replay window lets the newest packet pass again
no_dedup a retried MESSAGE makes a new record
nonce_reuse a provisioned session keeps its epoch after a restart
no_expiry a session that expires is not reported
early_ack the client acknowledges before it shows
no_order the client shows messages as they come
no_high the client does not write down what it has shown"

[ -f "$build/build.ninja" ] || meson setup "$build" "$source" >/dev/null || exit 1
printf '%-15s %-62s %s\n' planted "what is wrong" "found by"
while read -r name text; do
	meson configure "$build" -Dplant="$name" && ninja -C "$build" rooksim >/dev/null || exit 1
	out=$("$build/rooksim" --seeds "$limit" --stop-on-fail --quiet)
	if [ $? -eq 0 ]; then
		found="NOT within $limit seeds"
		missed=1
	else
		found=$(echo "$out" | sed -n 's/^seed \([0-9]*\) \([a-z]*\): FAILED: \(.*\); hash.*/seed \1 (\2): \3/p' | head -1)
		[ -n "$found" ] || found="a crash"
	fi
	printf '%-15s %-62s %s\n' "$name" "$text" "$found"
done <<END
$plants
END
exit $missed
