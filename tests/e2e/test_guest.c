/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a machine that knows nothing of DPDK to a server on a PCI NIC and back, by the commands of docs/operations.md: host check, host
 * init, a chat across the NIC's queues, host fini. And bans by rte_flow, on net_tap, for which this machine's kernel need not have the
 * filters (cls_flower, sch_multiq): Debian's has. `make test-host`.
 */
#include "client.h"
#include "guest.h"
#include "netns.h"
#include "raw.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define ROOKCTL "rookctl --config /etc/rookery.yaml "
#define PAGES "cat /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
#define DRIVER "basename $(readlink /sys/bus/pci/devices/" GUEST_NIC "/driver)"
#define WORKERS 2
#define FLOWS 200
#define FLOWS_MIN 40 /* on a worker; with a fair coin for each flow fewer come once in 10^17 runs */
#define MESSAGES 200

static const char config[] =
	"state_dir: /var/lib/rookery\\nruntime_dir: /run/rookery\\nsecurity: {user: rookery}\\n"
	"dataplane:\\n  workers: 2\\n  cpus: \"0,1-2\"\\n  hugepages: true\\n"
	"  sessions: 1024\\n  messages: 2048\\n  users: 4096\\n  conversations: 4096\\n"
	"  ports:\\n    - type: ethdev\\n      devices: [\"" GUEST_NIC "\"]\\n"
	"      addresses: [" NETNS_SERVER4 "/24, \"" NETNS_SERVER6 "/64\"]\\n      udp_port: %u\\n"
	"session: {heartbeat_ms: 5000, timeout_ms: 60000}\\n"
	"control: {password_memory_kib: 8192, password_passes: 1}\\n";

/* ---- the server in the guest ------------------------------------------------------------------------ */

static uint64_t
worker_counter(struct guest *g, const char *rookctl, unsigned worker, const char *name)
{
	json_error_t why;
	json_t *all, *row;
	uint64_t value = 0;
	bool found = false;
	char *out;
	size_t i;

	world_check(g->world, guest_run(g, &out, "%s --json stats --all --worker %u", rookctl, worker) == 0);
	all = json_loads(out, 0, &why);
	json_array_foreach(json_object_get(all, "counters"), i, row) {
		if (strcmp(json_string_value(json_object_get(row, "name")), name) != 0)
			continue;
		value = (uint64_t)json_integer_value(json_object_get(row, "value"));
		found = true;
	}
	if (!found)
		world_fail(g->world, "worker %u has no counter %s: %s", worker, name, out);
	json_decref(all);
	free(out);
	return value;
}

static void
start_server(struct guest *g)
{
	guest_expect(g, 0, "rookery run --config /etc/rookery.yaml >/tmp/server.out 2>/tmp/server.log &", NULL);
	guest_wait(g, WAIT_EVENT, "grep -q ready /tmp/server.out");
}

static void
stop_server(struct guest *g)
{
	guest_expect(g, 0, "kill -INT $(pidof rookery)", NULL);
	guest_wait(g, WAIT_EVENT, "! pidof rookery");
}

/* Each query comes from a port of its own, so each is another flow for RSS. */
static void
flows_spread(struct guest *g)
{
	uint64_t before[WORKERS], after;

	for (unsigned i = 0; i < WORKERS; i++)
		before[i] = worker_counter(g, ROOKCTL, i, "rx_packets");
	for (unsigned i = 0; i < FLOWS; i++) {
		struct raw *r = raw_new(g->world);

		raw_fetch_key(r);
		raw_free(r);
	}
	guest_expect(g, 0, "sleep 2", NULL); /* counters are published once a second */
	for (unsigned i = 0; i < WORKERS; i++) {
		after = worker_counter(g, ROOKCTL, i, "rx_packets");
		printf("# worker %u received %llu packets of %u flows\n", i, (unsigned long long)(after - before[i]), FLOWS);
		world_check(g->world, after - before[i] >= FLOWS_MIN);
	}
}

static void
chat(struct guest *g)
{
	struct client *alice = client_register(g->world, "alice"), *bob = client_register(g->world, "bob");

	clients_befriend(alice, bob);
	client_send_series(alice, "bob", "across the NIC", MESSAGES);
	client_send_series(bob, "alice", "and back", MESSAGES);
	client_expect_series(bob, "alice", "across the NIC", MESSAGES);
	client_expect_series(alice, "bob", "and back", MESSAGES);
	client_expect_levels(alice, MESSAGES, "delivered");
	client_expect_levels(bob, MESSAGES, "delivered");
	client_quit(alice);
	client_quit(bob);
}

/* ---- the tests: one boot, one after the other ---------------------------------------------------------- */

/* As after an installation: what is missing is named with its mend, by host check and by the start itself. */
static void
nothing_is_prepared(struct guest *g)
{
	guest_expect(g, 0, "ip link set eth0 up; " DRIVER, "virtio-pci", NULL);
	guest_expect(g, 1, ROOKCTL "host check",
		     "FAIL  hugepages      node 0: 0 MiB reserved", "echo ", "/sys/devices/system/node/node0/hugepages",
		     "FAIL  driver         " GUEST_NIC " is bound to virtio-pci as eth0", "rookctl host init",
		     "FAIL  vfio           the module is not loaded", "ok    iommu          on",
		     "ok    queues         " GUEST_NIC " has 4, for 2 workers", NULL);
	guest_expect(g, 1, "rookery run --config /etc/rookery.yaml 2>&1", "hugepages", "rookctl host init", NULL);
}

static void
init(struct guest *g)
{
	char *first, *second;

	guest_expect(g, 0, ROOKCTL "host init --dry-run", "modprobe vfio-pci", "/driver_override", "nr_hugepages", "nothing was done", NULL);
	guest_expect(g, 0, DRIVER "; " PAGES, "virtio-pci\n0\n", NULL);
	guest_expect(g, 0, ROOKCTL "host init", "echo vfio-pci > /sys/bus/pci/devices/" GUEST_NIC "/driver_override",
		     "chown 900:900 /dev/vfio/", "done", NULL);
	guest_expect(g, 0, DRIVER, "vfio-pci", NULL);
	world_check(g->world, guest_run(g, &first, "cat /run/rookery-host.json; " PAGES) == 0);
	guest_expect(g, 0, ROOKCTL "host init", "nothing to do", NULL);
	world_check(g->world, guest_run(g, &second, "cat /run/rookery-host.json; " PAGES) == 0);
	world_check(g->world, strcmp(first, second) == 0);
	free(first);
	free(second);
	guest_expect(g, 0, ROOKCTL "host check", "ok    hugepages", GUEST_NIC " is bound to vfio-pci",
		     "ok    queues         " GUEST_NIC " has 4, for 2 workers", "0 failed", NULL);
}

static void
serve(struct guest *g)
{
	start_server(g);
	netns_ping(g->world, AF_INET, 3, 56);
	netns_ping(g->world, AF_INET6, 3, 56);
	chat(g);
	flows_spread(g);
	guest_expect(g, 0, ROOKCTL "doctor", "ok    server         ready", " MiB free at /var/lib/rookery", NULL);
	/* To unbind a NIC under a running server would wait for its end. */
	guest_expect(g, 1, ROOKCTL "host fini 2>&1", "stop the server first", NULL);
	guest_expect(g, 0, DRIVER "; ls -ln /dev/vfio", "vfio-pci", "900", NULL);
	stop_server(g);
}

/* The whole start without a right: what host init gave to the server's account is enough. */
static void
serve_without_root(struct guest *g)
{
	guest_expect(g, 0, "ulimit -l unlimited; chown rookery /run/rookery; su -s /bin/sh rookery -c "
			   "'rookery run --config /etc/rookery.yaml' >/tmp/server.out 2>/tmp/server.log &", NULL);
	guest_wait(g, WAIT_EVENT, "grep -q ready /tmp/server.out");
	netns_ping(g->world, AF_INET, 1, 56);
	stop_server(g);
}

static void
fini(struct guest *g)
{
	guest_expect(g, 0, ROOKCTL "host fini --dry-run", "nothing was done", NULL);
	guest_expect(g, 0, ROOKCTL "host fini", "modprobe -r vfio-pci", "the machine is as it was", NULL);
	guest_expect(g, 0, DRIVER "; " PAGES "; cat /sys/class/net/eth0/flags", "virtio-pci\n0\n0x1003", NULL);
	guest_expect(g, 1, "grep -e ^vfio -e ^irqbypass /proc/modules", NULL);
	guest_expect(g, 1, "grep 'nodev /dev/hugepages' /proc/mounts", NULL);
	guest_expect(g, 1, "ls /run/rookery-host.json", NULL);
	guest_expect(g, 0, ROOKCTL "host fini", "nothing to take back", NULL);
	guest_expect(g, 1, ROOKCTL "host check", GUEST_NIC " is bound to virtio-pci as eth0", NULL);
}

/* Only a machine of one's own can be put into yesterday. */
static void
clock_jump(struct guest *g)
{
	guest_expect(g, 0, "date -s @$(($(date +%s) - 86400)) >/dev/null", NULL);
	guest_expect(g, 1, ROOKCTL "doctor", "the clock went back", "chrony", NULL);
}

static void
guest(void **state)
{
	struct world *w = *state;
	struct guest *g = guest_boot(w, GUEST_PLAIN);
	char text[sizeof(config) + 16];

	snprintf(text, sizeof(text), config, w->port);
	world_check(w, guest_run(g, NULL, "printf '%s' >/etc/rookery.yaml", text) == 0);
	nothing_is_prepared(g);
	init(g);
	serve(g);
	serve_without_root(g);
	fini(g);
	clock_jump(g);
	guest_power_off(g);
}

/* ---- two NUMA nodes ------------------------------------------------------------------------------------ */

#define NODE_PAGES(node, which) "/sys/devices/system/node/node" #node "/hugepages/hugepages-2048kB/" which "_hugepages"

/* config/examples/two-numa.yaml, smaller: housekeeping and worker 0 on node 0, worker 1 and the NIC on node 1. */
static const char nodes_config[] =
	"state_dir: /var/lib/rookery\\nruntime_dir: /run/rookery\\nsecurity: {user: rookery}\\n"
	"dataplane:\\n  workers: 2\\n  cpus: \"0,1,2\"\\n  hugepages: true\\n"
	"  sessions: 1024\\n  messages: 2048\\n  users: 4096\\n  conversations: 4096\\n"
	"  ports:\\n    - type: ethdev\\n      devices: [\"" GUEST_FAR_NIC "\"]\\n      addresses: [" NETNS_SERVER4 "/24]\\n"
	"control: {password_memory_kib: 8192, password_passes: 1}\\n";

static void
two_nodes(void **state)
{
	struct guest *g = guest_boot(*state, GUEST_TWO_NODES);

	world_check(g->world, guest_run(g, NULL, "printf '%s' >/etc/rookery.yaml", nodes_config) == 0);
	guest_expect(g, 1, ROOKCTL "host check", "FAIL  hugepages      node 0: 0 MiB reserved", "FAIL  hugepages      node 1: 0 MiB reserved",
		     "warn  numa           " GUEST_FAR_NIC " is on node 1, worker 0's CPU 1 on node 0 (distance 21)",
		     "choose dataplane.cpus among 2-3", NULL);
	guest_expect(g, 0, ROOKCTL "host init", "> " NODE_PAGES(0, "nr"), "> " NODE_PAGES(1, "nr"), NULL);
	guest_expect(g, 0, ROOKCTL "host check", "ok    hugepages      node 0: ", "ok    hugepages      node 1: ", "warn  numa", "0 failed", NULL);
	start_server(g);
	netns_ping(g->world, AF_INET, 1, 56);
	/* Each worker's memory is on its own node. */
	guest_expect(g, 0, "for n in 0 1; do cat /sys/devices/system/node/node$n/hugepages/hugepages-2048kB/*_hugepages | xargs; done; "
			   "test $(cat " NODE_PAGES(0, "free") ") -lt $(cat " NODE_PAGES(0, "nr") ") && "
			   "test $(cat " NODE_PAGES(1, "free") ") -lt $(cat " NODE_PAGES(1, "nr") ")", NULL);
	printf("# pages free, reserved, surplus of node 0 and 1:\n%s", g->output);
	guest_expect(g, 0, ROOKCTL "doctor", "ok    server         ready", "warn  numa           " GUEST_FAR_NIC " is on node 1", NULL);
	stop_server(g);
	guest_expect(g, 0, "sed -i 's/0,1,2/0,2-3/' /etc/rookery.yaml; " ROOKCTL "host init && " ROOKCTL "host check",
		     "ok    numa           " GUEST_FAR_NIC " and its workers are on node 1", NULL);
	/* What somebody has changed since is left, and said. */
	guest_expect(g, 0, "echo $(($(cat " NODE_PAGES(0, "nr") ") + 1)) > " NODE_PAGES(0, "nr") " && " ROOKCTL "host fini", "is left at ",
		     "taken back, but for ", NULL);
	guest_expect(g, 0, "test $(cat " NODE_PAGES(0, "nr") ") -gt 1 && cat " NODE_PAGES(1, "nr"), "0\n", NULL);
	guest_power_off(g);
}

/* ---- bans that the device enforces --------------------------------------------------------------------- */

#define TAP_ROOKCTL "rookctl --config /etc/tap.yaml "

static const char tap_config[] =
	"state_dir: /var/lib/rookery-tap\\nruntime_dir: /run/rookery\\nsecurity: {user: rookery}\\n"
	"dataplane:\\n  sessions: 1024\\n  messages: 2048\\n  users: 4096\\n  conversations: 4096\\n"
	"  ports:\\n    - type: ethdev\\n      devices: [\"net_tap0,iface=tap0\"]\\n      addresses: [10.9.0.1/24, \"fd09::1/64\"]\\n"
	"    - type: socket\\n      listen: 127.0.0.1:8001\\n"
	"control: {password_memory_kib: 8192, password_passes: 1}\\n";

/* A datagram from there that ends as drop_type, if a worker sees it. */
static void
tap_send(struct guest *g, const char *from, const char *to)
{
	char command[256];

	snprintf(command, sizeof(command), "%s -s %s -q 1 -m 1 -w 1 -p 7999 %s 100", strchr(from, ':') ? "traceroute6" : "traceroute", from,
		 to); /* its first datagram goes to the next port */
	(void)guest_run(g, NULL, "%s", command);
}

/* Does a worker see it, and does it drop it as banned? */
static void
tap_expect(struct guest *g, const char *from, const char *to, unsigned seen)
{
	const char *const counters[] = {"drop_type", "drop_banned"};
	uint64_t before[2], after[2];
	unsigned i;

	for (i = 0; i < 2; i++)
		before[i] = worker_counter(g, TAP_ROOKCTL, 0, counters[i]);
	tap_send(g, from, to);
	guest_expect(g, 0, "sleep 1", NULL);
	for (i = 0; i < 2; i++)
		after[i] = worker_counter(g, TAP_ROOKCTL, 0, counters[i]);
	printf("# from %s: %llu packets seen, %llu dropped as banned\n", from, (unsigned long long)(after[0] - before[0]),
	       (unsigned long long)(after[1] - before[1]));
	world_check(g->world, after[0] - before[0] == seen && after[1] == before[1]);
}

static void
bans_by_device(void **state)
{
	struct guest *g = guest_boot(*state, GUEST_PLAIN);

	guest_expect(g, 0, "modprobe -a tun sch_multiq sch_ingress cls_flower act_gact", NULL);
	world_check(g->world, guest_run(g, NULL, "printf '%s' >/etc/tap.yaml", tap_config) == 0);
	guest_expect(g, 0, "rookery run --config /etc/tap.yaml >/tmp/server.out 2>/tmp/server.log &", NULL);
	guest_wait(g, WAIT_EVENT, "grep -q ready /tmp/server.out");
	guest_expect(g, 0, "echo 0 >/proc/sys/net/ipv6/conf/tap0/accept_dad; ip link set tap0 up; for i in 2 3 4; do ip addr add 10.9.0.$i/24 dev tap0; "
			   "ip addr add fd09::$i/64 dev tap0; done; ping -c 1 10.9.0.1 && ping -c 1 fd09::1", NULL);
	tap_expect(g, "10.9.0.2", "10.9.0.1", 1);
	guest_expect(g, 0, TAP_ROOKCTL "bans add 10.9.0.2 && " TAP_ROOKCTL "bans add fd09::2/127", NULL);
	guest_wait(g, WAIT_EVENT, TAP_ROOKCTL "bans list | grep -c 'nic on 1 of 2 ports' | grep -q 2");
	tap_expect(g, "10.9.0.2", "10.9.0.1", 0);
	tap_expect(g, "fd09::3", "fd09::1", 0);
	tap_expect(g, "10.9.0.3", "10.9.0.1", 1);
	tap_expect(g, "fd09::4", "fd09::1", 1);
	guest_expect(g, 0, "ping -c 1 -I 10.9.0.2 10.9.0.1", NULL); /* all else goes on */
	guest_expect(g, 0, TAP_ROOKCTL "restart dataplane", NULL);
	guest_wait(g, WAIT_EVENT, "ip link set tap0 up && " TAP_ROOKCTL "bans list | grep -c 'nic on 1 of 2 ports' | grep -q 2");
	guest_expect(g, 0, "for i in 2 3 4; do ip addr add 10.9.0.$i/24 dev tap0; done; ping -c 1 10.9.0.1", NULL);
	tap_expect(g, "10.9.0.2", "10.9.0.1", 0);
	guest_expect(g, 0, TAP_ROOKCTL "bans del 10.9.0.2", NULL);
	guest_wait(g, WAIT_EVENT, TAP_ROOKCTL "stats --all | grep -E -q '^bans_nic +1 '");
	tap_expect(g, "10.9.0.2", "10.9.0.1", 1);
	stop_server(g);
	guest_power_off(g);
}

/* With the name of a test: that one. */
int
main(int argc, char **argv)
{
	static const struct place place = {.kind = KIND_TAP, .family = AF_INET, .workers = WORKERS};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(guest, world_setup, world_teardown, (void *)&place),
		cmocka_unit_test_prestate_setup_teardown(two_nodes, world_setup, world_teardown, (void *)&place),
		cmocka_unit_test_prestate_setup_teardown(bans_by_device, world_setup, world_teardown, (void *)&place),
	};

	if (skip_without_root())
		return 0;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
