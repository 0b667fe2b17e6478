#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Alert rules and dashboard in a real Prometheus that scrapes a real server with some traffic: promtool finds nothing to say, every
# expression of theirs has data, no alert is on while all is well, and alerts come on when it is not.
#
#   tests/prometheus.sh BUILD-FOLDER
set -eu

build=$1
config=$(cd "$(dirname "$0")/../config" && pwd)
. "$(dirname "$0")/checks.sh"
turn=0
database=127.0.0.1:$((port + 1))

# ---- a server, two who chat, datagrams that are dropped, and Prometheus ------------------------------------------------

chat() { # NAME: reads $work/NAME.in, leaves its events in $work/NAME.out
	mkfifo "$work/$1.in"
	"$build/rookchat" --server "127.0.0.1:$port" --user "$1" --register --password-file "$work/password" --state "$work/$1" --json \
		<"$work/$1.in" >"$work/$1.out" 2>"$work/$1.log" &
	started="$! $started"
}

cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$config/prometheus/alerts.yml]
scrape_configs:
  - job_name: rookery
    static_configs: [{targets: ["127.0.0.1:$port"]}]
END
echo 'a password of the test' >"$work/password"
succeeds "promtool check rules" promtool check rules "$config/prometheus/alerts.yml"
succeeds "promtool check config" promtool check config "$work/prometheus.yml"

start_server
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="$database" \
	>"$work/prometheus.log" 2>&1 &
started="$! $started"
chat alice
exec 3>"$work/alice.in"
chat bob
exec 4>"$work/bob.in"
until_true 60 "alice logs in" grep -q '"event":"login"' "$work/alice.out"
until_true 60 "bob logs in" grep -q '"event":"login"' "$work/bob.out"
echo 'add bob hi' >&3
until_true 30 "bob is asked" grep -q '"event":"buddy_request"' "$work/bob.out"
echo 'accept alice' >&4
until_true 30 "they are buddies" grep -q '"event":"presence","user":"bob","status":"online"' "$work/alice.out"
curl -s "http://127.0.0.1:$port/metrics" >"$work/metrics"
succeeds "promtool check metrics" promtool check metrics <"$work/metrics"

# ---- every expression ------------------------------------------------------------------------------------------------

ask() { # EXPRESSION: Prometheus' answer
	curl -s --data-urlencode "query=$1" "http://$database/api/v1/query"
}

# An answer with at least one number in it.
has_data() {
	ask "$1" | jq -e '.status == "success" and any(.data.result[]; .value[1] != "NaN")' >/dev/null
}

# Traffic goes on until there is data: rates need two scrapes, and change between them.
more_traffic() {
	echo 'msg bob and again' >&3
	bash -c "head -c 40 /dev/zero >/dev/udp/127.0.0.1/$port"
	turn=$((turn + 1))
	echo quit | "$build/rookchat" --server "127.0.0.1:$port" --user "guest$turn" --register --password-file "$work/password" \
		--state "$work/guest$turn" --json >/dev/null 2>&1 || true
}

every_expression_has_data() { # FILE
	: >"$work/empty"
	while read -r expression; do
		has_data "$expression" || echo "$expression" >>"$work/empty"
	done <"$1"
	more_traffic
	[ ! -s "$work/empty" ]
}

# The dashboard's variables as Grafana would put them in.
jq -r '.panels[].targets[].expr' "$config/grafana/rookery.json" |
	sed -e 's/\$__rate_interval/1m/g' -e 's/\$job/rookery/g' -e 's/\$instance/.*/g' >"$work/dashboard"
# Whether it is on doesn't matter here, only whether there is something to compare.
curl -s "http://$database/api/v1/rules" | jq -r '.data.groups[].rules[].query' | sed -E 's/ (==|>|<) / \1 bool /g' >"$work/alerts"
for what in dashboard alerts; do
	succeeds "$what: $(wc -l <"$work/$what") expressions" [ "$(wc -l <"$work/$what")" -gt 10 ]
	end=$(($(date +%s) + 60))
	until every_expression_has_data "$work/$what" || [ "$(date +%s)" -ge "$end" ]; do sleep 0.5; done
	if [ ! -s "$work/empty" ]; then check "$what: each has data" 0; else check "$what: each has data" 1; fi
	while read -r expression; do
		echo "  $expression"
		ask "$expression" | jq -c '{error, result: .data.result}'
	done <"$work/empty"
done

# ---- alerts ------------------------------------------------------------------------------------------------------------

rules() { # a condition on all rules
	curl -s "http://$database/api/v1/rules" | jq -e "[.data.groups[].rules[]] | $1" >/dev/null
}

alert() { # NAME STATE
	rules "any(.name == \"$1\" and (.state | IN($2)))"
}

until_true 30 "each rule is evaluated" rules 'all(.health == "ok" and .evaluationTime > 0)'
succeeds "no alert while all is well" rules 'all(.state == "inactive")'
for i in 1 2 3; do
	"$build/rookctl" --config "$work/server.yaml" --state "$work/state" restart dataplane >/dev/null || check "restart $i" 1
done
until_true 30 "RookeryDataplaneRestarts is on after three restarts" alert RookeryDataplaneRestarts '"firing"'
kill -INT "$server"
wait "$server" || true
until_true 30 "RookeryDown comes when the server is stopped" alert RookeryDown '"pending", "firing"'

conclude "alert rules and dashboard are well"
