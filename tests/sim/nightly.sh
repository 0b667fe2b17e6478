#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nightly.sh [ROOKSIM] [SEEDS] [PROCESSES] [START] [MINUTES]: so many seeds of each profile, the profiles by turns in parts of 100 seeds, by so many
# processes at once; after MINUTES no further part is begun. Stops at the first part with a failure; at the end, or then, the totals.
set -u
rooksim=${1:-build/rooksim}
seeds=${2:-100000}
processes=${3:-$(nproc)}
start=${4:-1}
minutes=${5:-480}
part=100
profiles='calm lossy crashy full hostile everything'
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
end=$(($(date +%s) + minutes * 60))

at=0
while [ "$at" -lt "$seeds" ]; do
	n=$((seeds - at < part ? seeds - at : part))
	for profile in $profiles; do
		echo "$profile $((start + at)) $n"
	done
	at=$((at + n))
done | xargs -P "$processes" -L 1 sh -c '
	[ "$(date +%s)" -lt "$2" ] || exit 0
	"$0" --quiet --stop-on-fail --profile "$3" --start "$4" --seeds "$5" >"$1/$3-$4" 2>&1 || { cat "$1/$3-$4"; exit 255; }
' "$rooksim" "$out" "$end"
status=$?

for profile in $profiles; do
	cat "$out/$profile"-* 2>/dev/null | awk -v profile="$profile" '
		/^confirmed texts/ { least = /least tables/ }
		/the slowest of each seed/ { sub(/.*max /, ""); if ($1 + 0 > wait[least]) wait[least] = $1 }
		/^[0-9]+ seeds, / { seeds += $1; failed += $3; steps += $5; datagrams += $7; texts += $9; resumed += $11; virtual += $14 }
		END { printf "%-11s %d seeds, %d failed; %d steps, %d datagrams, %d texts, %d sessions resumed, %.1f h of virtual time; longest wait %.1f s (%.1f s with the least tables)\n",
			profile, seeds, failed, steps, datagrams, texts, resumed, virtual / 3600, wait[0], wait[1] }'
done
exit "$status"
