# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the tests that people start by themselves (prometheus.sh, browser.sh), with $build set: a folder $work, a server on $port,
# checks that are told as in TAP. At the end all processes in $started are ended, the last one first, and $work is removed.

failed=0
started=
work=$(mktemp -d /tmp/rookery-checks-XXXXXX)
port=$((20000 + $$ % 10000 * 2)) # UDP, and TCP for HTTP; the next one is free for the test
chmod 755 "$work"

finish() {
	for pid in $started; do
		kill -INT "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$work"
}
trap finish EXIT

check() { # NAME 0|OTHER
	if [ "$2" = 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		failed=$((failed + 1))
	fi
}

succeeds() { # NAME COMMAND...
	name=$1
	shift
	if "$@" >"$work/said" 2>&1; then check "$name" 0; else check "$name" 1; cat "$work/said"; fi
}

# until_true SECONDS NAME COMMAND...: also once more when a slow machine took all of the time for one try.
until_true() {
	end=$(($(date +%s) + $1))
	name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge "$end" ]; then
			check "$name" 1
			tail -n 5 "$work"/*.log
			exit 1
		fi
		sleep 0.2
	done
	check "$name" 0
}

start_server() { # $server
	cat >"$work/server.yaml" <<END
dataplane:
  sessions: 1024
  users: 4096
  conversations: 4096
  ports: [{type: socket, listen: "127.0.0.1:$port"}]
control: {password_memory_kib: 8192, password_passes: 1}
metrics: {listen: "127.0.0.1:$port"}
END
	"$build/rookery" run --config "$work/server.yaml" --state "$work/state" >"$work/server.log" 2>&1 &
	server=$!
	started="$server $started"
	until_true 60 "the server is up" curl -sf "http://127.0.0.1:$port/health"
}

conclude() { # WHAT IS WELL: the last line, and the exit status
	if [ $failed = 0 ]; then echo "$1"; else echo "$failed checks failed"; fi
	[ $failed = 0 ]
}
