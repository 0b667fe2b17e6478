#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Line coverage of what reads outside bytes, by the corpora in tests/fuzz/corpus alone: tests/fuzz/coverage.sh [CORPUS-DIRECTORY...]
# A further directory holds more corpora, one folder per target (build-fuzz/corpus). Prints a table; the lines that were not
# reached are in build-coverage/missed.txt. Lines that no input can reach are named, with the reason, in tests/fuzz/unreachable.txt;
# an entry there that was reached, or that names no line, is an error. docs/fuzzing.md keeps the figures.
set -eu
cd "$(dirname "$0")/../.."
build=build-coverage

# Parsers first; then what acts on what they let through.
parsers="shared/wire.c shared/noise.c shared/handshake.c shared/address.c shared/cell.c shared/config.c shared/config_check.c
dataplane/ingress.c dataplane/neighbor_packet.c dataplane/receive.c dataplane/guard.c dataplane/inject.c
control/admin_protocol.c control/admin_arguments.c control/admin_commands.c control/admin_views.c control/requests.c control/login.c
control/loop_rings.c
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
llvm-cov show -instr-profile $build/fuzz.profdata $objects >$build/lines.txt 2>/dev/null
# Its lines: "/x/shared/wire.c:" before each file, then "  354|     12|text"; no count: not code. A function's name stands in the first column.
awk -v root="$PWD/" -v parsers="$parsers" -v others="$others" -v missed=$build/missed.txt '
	FILENAME == "tests/fuzz/unreachable.txt" {
		if ($0 != "" && $0 !~ /^#/) {
			at = index($0, ": ")
			excluded[substr($0, 1, at - 1) SUBSEP substr($0, at + 2)] = $0
		}
		next
	}
	/^\/.*:$/ {
		file = substr($0, 1, length($0) - 1)
		sub(root, "", file)
		again = file in seen # another program has it, too, and llvm-cov has added that up
		seen[file]
		next
	}
	again || !match($0, /^ *[0-9]+\| *[0-9.]*[kMGE]?\|/) { next }
	{
		split($0, column, "|")
		text = substr($0, RLENGTH + 1)
		gsub(/ /, "", column[2])
		if (match(text, /^[a-z][a-z0-9_]*\(/))
			function_name = substr(text, 1, RLENGTH - 1)
		if (column[2] == "")
			next
		count[file]++
		gsub(/^[ \t]+|[ \t]+$/, "", text)
		all = file " " function_name SUBSEP "*"
		one = file " " function_name SUBSEP text
		if (column[2] != "0") {
			covered[file]++
			if (one in excluded)
				reached[one]
			next
		}
		if (all in excluded || one in excluded) {
			out[file]++
			used[all in excluded ? all : one]
			next
		}
		gsub(/ /, "", column[1])
		print file " " function_name ": " text "  [" column[1] "]" >missed
	}
	function table(title, list,    n, f, i, lines, hit, not) {
		n = split(list, f, /[ \n]+/)
		printf "%-32s %6s %12s %8s %7s\n", title, "lines", "unreachable", "covered", ""
		for (i = 1; i <= n; i++) {
			printf "%-32s %6d %12d %8d %6.1f%%\n", f[i], count[f[i]], out[f[i]], covered[f[i]],
				100 * covered[f[i]] / (count[f[i]] - out[f[i]])
			lines += count[f[i]]
			hit += covered[f[i]]
			not += out[f[i]]
		}
		printf "%-32s %6d %12d %8d %6.1f%% (%.1f%% of all lines)\n\n", "all of these", lines, not, hit, 100 * hit / (lines - not),
			100 * hit / lines
	}
	END {
		table("parsers", parsers)
		table("what acts on it", others)
		for (k in excluded) {
			if (k in used)
				continue
			print "tests/fuzz/unreachable.txt: " (k in reached ? "reached: " : "no such line: ") excluded[k]
			wrong = 1
		}
		exit wrong
	}' tests/fuzz/unreachable.txt $build/lines.txt
