#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# DPDK Pktgen, headless, against rookery-dataplane over vhost-user: no NIC, no hugepages; as root. How to build Pktgen: README.md.
#
#	bench/pktgen/run.sh PKTGEN-FOLDER [SESSIONS [SECONDS [RATE-PERCENT]]]
#
# The dataplane is the server of the link (its MAC address is then always the same), Pktgen's virtio_user its client. Control's part,
# the sessions, is played by bench-provision, which prints what the dataplane counts; what is dropped must be nothing but what the
# ring of the link had no room for, and that is counted on Pktgen's side.
set -eu

pktgen=$(cd "$1" && pwd)
sessions=${2:-4096}
seconds=${3:-10}
rate=${4:-100}
build=$(realpath "${BUILD:-build}")
lua=$(dirname "$(realpath "$0")")/replay.lua
mac=56:48:4f:53:54:00 # of DPDK's first net_vhost

dir=$(mktemp -d /tmp/rookery-pktgen-XXXXXX)
dataplane=
cleanup() {
	[ -z "$dataplane" ] || { kill "$dataplane" 2>/dev/null; wait "$dataplane" 2>/dev/null; } || :
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

cat > "$dir/rookery.yaml" <<YAML
dataplane:
  sessions: $((sessions < 64 ? 64 : sessions))
  activities: 64
  telemetry: false
  replay_check: false
  ports:
    - type: ethdev
      devices: ["net_vhost0,iface=$dir/link.sock,queues=1"]
      addresses: [192.0.2.1/24]
      gateway: 192.0.2.254
security:
  user: root # Pktgen, too, opens the link
log:
  level: warning
YAML

"$build/rookbench" pcap "$dir/pings.pcap" $mac "$sessions"
"$build/rookery-dataplane" --config "$dir/rookery.yaml" --state "$dir" &
dataplane=$!
"$build/bench/bench-provision" "$dir/run" "$sessions" $((seconds + 60)) > "$dir/dataplane.txt" &
provision=$!
# Pktgen wants its own Pktgen.lua in the working folder. Its memory is a memfd, which the dataplane maps.
cd "$pktgen"
ROOKERY_SECONDS=$seconds ROOKERY_RATE=$rate timeout $((seconds + 30)) Builddir/app/pktgen -l 0,1 --no-huge -m 2560 --no-pci \
	--no-telemetry --file-prefix rookery-pktgen --log-level=error \
	--vdev "net_virtio_user0,path=$dir/link.sock,queues=1,queue_size=1024,mac=02:00:00:00:00:fe" \
	-- -P -m 1.0 -s "0:$dir/pings.pcap" -f "$lua" < /dev/null > "$dir/pktgen.txt" 2>&1 || status=$?
sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' "$dir/pktgen.txt" | grep -E '^(second|in all|PANIC)' || tail -20 "$dir/pktgen.txt"
kill $provision
wait $provision || :
cat "$dir/dataplane.txt"
exit "${status:-0}"
