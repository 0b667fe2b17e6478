#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# planted.sh [BUILD-FOLDER]: can the simulation find mistakes? Builds it with all the deliberate ones of shared/plant.h (-Dplanted=true), runs it
# with one at a time from STARTS start seeds on, and says after how many seeds each was noticed. Leaves with 1 if one was not within LIMIT.
# ROOKSIM=program: with this one, which has them. MISTAKES="name ...": only these.
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$source/build-planted}
limit=${LIMIT:-100}
starts=${STARTS:-3}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

if [ -z "${ROOKSIM:-}" ]; then
	[ -f "$build/build.ninja" ] || meson setup "$build" "$source" -Dplanted=true >/dev/null || exit 1
	ninja -C "$build" rooksim >/dev/null || exit 1
	ROOKSIM=$build/rooksim
fi

# Which profile shows it soonest.
profile_of() {
	case $1 in
	no_dedup | no_order | replay_window | sent_is_delivered) echo lossy ;;
	early_ack | no_high | nonce_reuse | early_receipt | lost_inflight | session_again) echo crashy ;;
	commit_ignored | presence_lost | unread) echo full ;;
	no_challenge | uncounted | leak | resume_nonce) echo hostile ;;
	*) echo everything ;;
	esac
}

# Seeds from this start on until it was noticed, or nothing; the first line of how in the file.
seeds_until() {
	"$ROOKSIM" --plant "$1" --profile "$2" --start "$3" --seeds "$limit" --stop-on-fail --quiet >"$work/out" 2>&1 && return
	n=$(sed -n 's/^seed \([0-9]*\) .*FAILED.*/\1/p' "$work/out" | head -1)
	[ -s "$work/how" ] || sed -n 's/^seed [0-9]* [a-z]*: FAILED: \(.*\); hash.*/\1/p' "$work/out" | head -1 >"$work/how"
	[ -s "$work/how" ] || echo "a crash" >"$work/how"
	echo $((${n:-$3} - $3 + 1))
}

"$ROOKSIM" --plant list >"$work/list"
[ -s "$work/list" ] || { echo "planted.sh: $ROOKSIM has no mistakes planted" >&2; exit 1; }
printf '| planted | what is wrong | profile | median | seeds until found, from %s starts | how it showed |\n|---|---|---|---|---|---|\n' "$starts"
while read -r name text; do
	case " ${MISTAKES:-$name} " in *" $name "*) ;; *) continue ;; esac
	profile=$(profile_of "$name")
	: >"$work/how"
	: >"$work/counts"
	for start in $(seq "$starts"); do
		n=$(seeds_until "$name" "$profile" "$((start * 1000 + 1))")
		[ -n "$n" ] || touch "$work/missed"
		echo "${n:-$((limit + 1))}" >>"$work/counts"
	done
	median=$(sort -n "$work/counts" | sed -n "$(((starts + 1) / 2))p")
	printf '| `%s` | %s | %s | %s | %s | %s |\n' "$name" "$text" "$profile" "$median" \
		"$(sed "s/^$((limit + 1))\$/>$limit/" "$work/counts" | tr '\n' ' ' | sed 's/ $//')" "$(cat "$work/how")"
done <"$work/list"
[ ! -f "$work/missed" ]
