#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Line coverage of what reads outside bytes, by the corpora in tests/fuzz/corpus alone: tests/fuzz/coverage.sh [CORPUS-DIRECTORY...]
# A further directory holds more corpora, one folder per target (build-fuzz/corpus). Prints a table; the lines that were not
# reached are in build-coverage/missed.txt. docs/fuzzing.md keeps the figures.
set -eu
cd "$(dirname "$0")/../.."
build=build-coverage

# Parsers first; then what acts on what they let through.
parsers="shared/wire.c shared/noise.c shared/handshake.c shared/address.c shared/cell.c shared/config.c shared/config_check.c
dataplane/ingress.c dataplane/neighbor_packet.c dataplane/receive.c dataplane/guard.c dataplane/inject.c
control/admin_protocol.c control/admin_commands.c control/requests.c control/login.c control/loop_rings.c
control/cli/client.c client/session.c client/login.c client/inbox.c client/request.c client/roster.c client/rookchat_json.c"
others="shared/ipc.c dataplane/relay.c dataplane/inflight.c dataplane/tables.c dataplane/neighbor.c dataplane/egress.c
dataplane/housekeeping.c dataplane/punt.c control/accounts.c control/buddies.c control/offline.c control/presence.c control/pump.c
control/sessions.c control/server.c client/event.c client/outbox.c client/client.c control/cli/lists.c control/cli/stats.c
control/cli/status.c control/cli/cli.c"

config/packages.sh build test
if [ ! -f $build/build.ninja ]; then
	CC=clang meson setup $build -Dbuildtype=debug -Dc_args='-fprofile-instr-generate -fcoverage-mapping' \
		-Dc_link_args='-fprofile-instr-generate' >/dev/null
fi
targets=$(ninja -C $build -t targets all | sed -n 's|^\(tests/fuzz/replay_[a-z_]*\): .*|\1|p')
# shellcheck disable=SC2086 # lists
ninja -C $build $targets >/dev/null
rm -rf $build/profiles
mkdir $build/profiles
objects=
for target in $targets; do
	name=${target##*/replay_}
	set -- "$@" # the further directories
	folders=tests/fuzz/corpus/$name
	for more in "$@"; do
		[ ! -d "$more/$name" ] || folders="$folders $more/$name"
	done
	# shellcheck disable=SC2086
	LLVM_PROFILE_FILE=$build/profiles/$name.profraw "$build/$target" $folders >/dev/null 2>&1 ||
		echo "$name: a replay failed" >&2
	objects="$objects -object $build/$target"
done
llvm-profdata merge -o $build/fuzz.profdata $build/profiles/*.profraw
# shellcheck disable=SC2086
{
	llvm-cov export -summary-only -instr-profile $build/fuzz.profdata $objects >$build/fuzz.json 2>/dev/null
	llvm-cov show -instr-profile $build/fuzz.profdata $objects 2>/dev/null |
		awk '/^\/.*:$/ { file = $0; next } /^ +[0-9]+\| +0\|/ { print file $0 }' >$build/missed.txt
}
# One line per file: "filename":"/x/shared/wire.c","summary":{..."lines":{"count":N,"covered":M
tr '{' '\n' <$build/fuzz.json | awk -v parsers="$parsers" -v others="$others" '
	match($0, /"filename":"[^"]*"/) { name = substr($0, RSTART + 12, RLENGTH - 13) }
	wanted && match($0, /"count":[0-9]+,"covered":[0-9]+/) {
		split(substr($0, RSTART, RLENGTH), n, /[:,]/)
		count[name] = n[2]
		covered[name] = n[4]
	}
	{ wanted = /"lines":$/ }
	function table(title, list,    k, n, f, i, lines, hit) {
		n = split(list, f, /[ \n]+/)
		printf "%-32s %6s %8s %7s\n", title, "lines", "covered", ""
		for (i = 1; i <= n; i++) {
			for (k in count) {
				if (substr(k, length(k) - length(f[i])) == "/" f[i]) {
					printf "%-32s %6d %8d %6.1f%%\n", f[i], count[k], covered[k], 100 * covered[k] / count[k]
					lines += count[k]
					hit += covered[k]
				}
			}
		}
		printf "%-32s %6d %8d %6.1f%%\n\n", "all of these", lines, hit, lines ? 100 * hit / lines : 0
	}
	END {
		table("parsers", parsers)
		table("what acts on it", others)
	}'
