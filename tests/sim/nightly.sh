#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nightly.sh [ROOKSIM] [SEEDS] [PROCESSES] [START]: so many seeds of each profile, in parts of 1,000, by so many processes at once. Stops at the
# first part with a failure; at the end, or then, the totals.
set -u
rooksim=${1:-build/rooksim}
seeds=${2:-100000}
processes=${3:-$(nproc)}
start=${4:-1}
part=1000
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT

at=0
while [ "$at" -lt "$seeds" ]; do
	n=$((seeds - at < part ? seeds - at : part))
	for profile in calm lossy crashy full hostile everything; do
		echo "$profile $((start + at)) $n"
	done
	at=$((at + n))
done | xargs -P "$processes" -L 1 sh -c '
	"$0" --quiet --stop-on-fail --profile "$2" --start "$3" --seeds "$4" >"$1/$2-$3" 2>&1 || { cat "$1/$2-$3"; exit 255; }
' "$rooksim" "$out"
status=$?

for profile in calm lossy crashy full hostile everything; do
	cat "$out/$profile"-* 2>/dev/null | awk -v profile="$profile" '
		/^confirmed texts/ { least = /least tables/ }
		/the slowest of each seed/ { sub(/.*max /, ""); if ($1 + 0 > wait[least]) wait[least] = $1 }
		/^[0-9]+ seeds, / { seeds += $1; failed += $3; steps += $5; datagrams += $7; texts += $9; virtual += $11 }
		END { printf "%-11s %d seeds, %d failed; %d steps, %d datagrams, %d texts, %.1f h of virtual time; longest wait %.1f s (%.1f s with the least tables)\n",
			profile, seeds, failed, steps, datagrams, texts, virtual / 3600, wait[0], wait[1] }'
done
exit "$status"
