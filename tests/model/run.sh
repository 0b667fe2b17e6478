#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Checks the models with spin, and that each variant with a mistake planted in it is caught: tests/model/run.sh [BUILD-DIRECTORY]
# TAP on standard output. Without spin everything is skipped.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${1:-/tmp}/model-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

if ! command -v spin >/dev/null; then
	echo "1..0 # SKIP spin is not installed"
	exit 0
fi
n=0
failed=0

# check MODEL [VARIANT]: a variant must fail.
check() {
	model=$1
	variant=${2:-}
	n=$((n + 1))
	rm -f pan* ./*.trail
	if ! spin ${variant:+-DBROKEN_$variant} -a "$here/$model.pml" >out 2>&1 ||
		! ${CC:-cc} -O1 -w -DSAFETY -DVECTORSZ=2048 -DMEMLIM=2000 -DCOLLAPSE -o pan pan.c 2>out; then
		cat out
		echo "not ok $n $model $variant: cannot be built"
		failed=1
		return
	fi
	timeout 120 ./pan -n -m200000 >out 2>&1
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
	# All of it, or up to the first error: a search that was cut short proves nothing.
	if grep -q 'Search not completed' out && ! grep -q 'assertion violated\|invalid end state' out; then
		verdict=incomplete
	elif grep -q 'errors: 0$' out; then
		verdict=holds
	else
		verdict=broken
	fi
	case $variant:$verdict in
	:holds) echo "ok $n $model: holds in all of $states states" ;;
	?*:broken) echo "ok $n $model with $variant: caught after $states states" ;;
	*)
		sed 's/^/# /' out | head -40
		echo "not ok $n $model ${variant:+with $variant}: $verdict"
		failed=1
		;;
	esac
}

check ring
check ring FULL
check ring PUBLISH
check ring RELEASE
check ring ORDER
check tables
check tables AT_ONCE
check tables TOKEN
check tables CHECK
check tables FILL
check tables OFFLINE
check bucket
check bucket VERSION
check bucket BEFORE
check bucket MISS
check bucket MOVE
check fence
check fence NO_FENCE
check fence BARRIER_FIRST
check fence HOUSEKEEPING
check provision
check provision REST
check provision ENDED
echo "1..$n"
exit $failed
