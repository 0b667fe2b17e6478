-- SPDX-License-Identifier: BSD-3-Clause
-- For DPDK Pktgen, headless: replays the capture that port 0 was given (-s 0:FILE, from `rookbench pcap`), prints the rates of each
-- second and the sums, and quits. Environment: ROOKERY_SECONDS (10), ROOKERY_RATE in percent of 10 Gbit/s (100).
package.path = package.path .. ";?.lua;"
require "Pktgen"

local seconds = tonumber(os.getenv("ROOKERY_SECONDS") or "10")
local rate = tonumber(os.getenv("ROOKERY_RATE") or "100")
local port = "0"

-- pktgen.delay() is made of many short sleeps, which take longer than they should on a busy machine.
local function wait_until(time)
	while os.time() < time do
		pktgen.delay(10)
	end
end

pktgen.screen("off")
pktgen.set(port, "rate", rate)
pktgen.pcap(port, "on")
wait_until(os.time() + 2) -- the sessions are provisioned meanwhile, and the link comes up

local start = os.time()
pktgen.start(port)
for second = 1, seconds do
	wait_until(start + second)
	local r = pktgen.portStats(port, "rate")[0]
	printf("second %d: sent %d packets/s, %d Mbit/s; received %d packets/s, %d Mbit/s\n",
		second, r.pkts_tx, r.mbits_tx, r.pkts_rx, r.mbits_rx)
end
pktgen.stop(port)
wait_until(os.time() + 2) -- what is on its way back, and the statistics of the last second

local s = pktgen.portStats(port, "port")[0]
printf("in all: sent %d packets, received %d, not sent %d\n", s.opackets, s.ipackets, s.oerrors)
pktgen.quit()
