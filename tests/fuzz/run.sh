#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Fuzzes each target for SECONDS: tests/fuzz/run.sh [SECONDS [TARGET...]]. New inputs go to build-fuzz/corpus/TARGET, a crash to
# build-fuzz/crash-*: mend the fault and add that file to tests/fuzz/corpus/TARGET.
set -eu
cd "$(dirname "$0")/../.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
build=build-fuzz
config/packages.sh build test
[ -f $build/build.ninja ] || CC=clang meson setup $build -Dbuildtype=debugoptimized -Dfuzz=true
ninja -C $build fuzz

if [ $# -eq 0 ]; then
	for program in $build/tests/fuzz/fuzz_*; do
		[ ! -f "$program" ] || [ ! -x "$program" ] || set -- "$@" "${program##*/fuzz_}"
	done
fi
failed=
for target in "$@"; do
	mkdir -p "$build/corpus/$target"
	echo "== $target"
	"$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$build/crash-$target-" "$build/corpus/$target" "tests/fuzz/corpus/$target" 2>&1 |
		grep -E '^(==|SUMMARY|stat::number_of_executed|.*Test unit written)' || true
	# The pipe hides libFuzzer's exit status; a crash leaves its file.
	for file in "$build/crash-$target-"*; do
		[ ! -f "$file" ] || failed="$failed $file"
	done
done
[ -z "$failed" ] || { echo "crashes:$failed"; exit 1; }
