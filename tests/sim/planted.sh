#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# planted.sh [BUILD-FOLDER]: can the simulation find mistakes? Builds it with all the deliberate ones of shared/plant.h (-Dplanted=true), runs it
# with one at a time from STARTS start seeds on, and says after how many seeds each was noticed. Leaves with 1 if one was not within LIMIT.
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$source/build-planted}
limit=${LIMIT:-200}
starts=${STARTS:-3}
missed=0

[ -f "$build/build.ninja" ] || meson setup "$build" "$source" -Dplanted=true >/dev/null || exit 1
ninja -C "$build" rooksim >/dev/null || exit 1

# Which profile shows it soonest.
profile_of() {
	case $1 in
	no_dedup | no_order | replay_window) echo lossy ;;
	early_ack | no_high | nonce_reuse | early_receipt | lost_inflight) echo crashy ;;
	commit_ignored | presence_lost) echo full ;;
	no_challenge | uncounted | leak) echo hostile ;;
	*) echo everything ;;
	esac
}

printf '| planted | what is wrong | profile | seeds until found, from %s starts | how it showed |\n|---|---|---|---|---|\n' "$starts"
"$build/rooksim" --plant list | while read -r name text; do
	profile=$(profile_of "$name")
	counts= how=
	for start in $(seq "$starts"); do
		out=$("$build/rooksim" --plant "$name" --profile "$profile" --start "$((start * 1000 + 1))" --seeds "$limit" --stop-on-fail --quiet 2>&1)
		if [ $? -eq 0 ]; then
			counts="$counts >$limit"
			touch "$build/missed"
			continue
		fi
		n=$(echo "$out" | sed -n 's/^seed \([0-9]*\) .*FAILED.*/\1/p' | head -1)
		counts="$counts $((${n:-0} - start * 1000))"
		[ -n "$how" ] || how=$(echo "$out" | sed -n 's/^seed [0-9]* [a-z]*: FAILED: \(.*\); hash.*/\1/p' | head -1)
	done
	printf '| `%s` | %s | %s |%s | %s |\n' "$name" "$text" "$profile" "$counts" "${how:-a crash}"
done
[ ! -f "$build/missed" ] || missed=1
rm -f "$build/missed"
exit $missed
