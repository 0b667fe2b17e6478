#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds everything with gcc (optimised) and with clang (sanitizers), warnings as errors, and runs every test:
# unit tests, simulations and fuzz corpora in both builds, end-to-end tests in both (those that need root in the first only).
# Last line: "N passed, N failed"; leaves with 0 only if nothing failed and something ran.
set -u
cd "$(dirname "$0")/.." || exit 1

release=build
sanitize=build-sanitize
problems=0
logs=
e2e_processes=$(($(nproc) + 2)) # they mostly wait

problem() {
	echo "$1" >&2
	problems=$((problems + 1))
}

# build DIRECTORY COMPILER MESON-ARGUMENTS...
build() {
	directory=$1
	compiler=$2
	shift 2
	if [ ! -f "$directory/build.ninja" ]; then
		CC=$compiler meson setup "$directory" "$@" || return 1
	fi
	ninja -C "$directory"
}

# run LABEL DIRECTORY LOG MESON-ARGUMENTS...
run() {
	label=$1
	directory=$2
	log=$directory/meson-logs/$3
	name=$3
	shift 3
	rm -f "$log.json" "$log.txt"
	# The exit status adds nothing to the logs, unless meson itself could not run.
	meson test -C "$directory" --no-rebuild --logbase "$name" "$@"
	if [ -f "$log.json" ] && [ -f "$log.txt" ]; then
		logs="$logs label=$label $log.json $log.txt"
	else
		problem "$label: meson wrote no log"
	fi
}

if ! config/packages.sh build test; then
	echo "0 passed, 1 failed"
	exit 1
fi

ulimit -c 0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1

if build $release gcc; then
	run gcc $release unit --suite unit --suite sim --suite model
	run gcc $release e2e --suite e2e --num-processes "$e2e_processes"
else
	problem "gcc: the build failed"
fi

# b_lundef: clang's sanitizers leave their symbols open in shared libraries.
if build $sanitize clang -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true; then
	run clang-sanitizers $sanitize unit --suite unit --suite sim --timeout-multiplier 5
	run clang-sanitizers $sanitize e2e --suite e2e --no-suite root --timeout-multiplier 3 --num-processes "$e2e_processes"
else
	problem "clang: the build failed"
fi

# shellcheck disable=SC2086 # a list
exec awk -v problems=$problems -f tests/summary.awk $logs </dev/null
