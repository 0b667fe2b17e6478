#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The tests of tests/tsan and of the tables with ThreadSanitizer, and that it sees a mistake when there is one:
#   tests/tsan/run.sh [ROUNDS]
# Builds only what it needs, in build-tsan and build-tsan-planted, with the variant of rte_ring that says its orders as C11 atomics: the other,
# which x86 takes, has plain loads and stores between compiler barriers, which ThreadSanitizer cannot follow.
set -u
cd "$(dirname "$0")/../.." || exit 1
rounds=${1:-10}
config/packages.sh build test || exit 1
export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/tests/tsan.supp"
export CMOCKA_MESSAGE_OUTPUT=STDOUT

# build DIRECTORY TARGETS [FLAG]
build() {
	mkdir -p "$1" || return 1
	if [ ! -f "$1/build.ninja" ] &&
		! CC=clang meson setup "$1" -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false \
			-Dc_args="-DRTE_USE_C11_MEM_MODEL ${3:-}" >"$1/build.log"; then
		cat "$1/build.log"
		return 1
	fi
	# shellcheck disable=SC2086 # targets
	ninja -C "$1" $2 >"$1/build.log" || { tail -40 "$1/build.log"; return 1; }
}

build build-tsan 'tests/tsan/test_races tests/unit/dataplane/test_tables' || exit 1
build-tsan/tests/tsan/test_races "$rounds" || exit 1
build-tsan/tests/unit/dataplane/test_tables || exit 1

# ring_publish without its release store.
build build-tsan-planted tests/tsan/test_races -DPLANT_RING_RELAXED || exit 1
if build-tsan-planted/tests/tsan/test_races 1 >build-tsan-planted/log 2>&1; then
	echo "PLANT_RING_RELAXED was not seen"
	exit 1
fi
grep -m1 'WARNING: ThreadSanitizer: data race' build-tsan-planted/log || exit 1
echo "PLANT_RING_RELAXED: caught"
