/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port on a DPDK device: one device with a queue per worker, or a device per worker (AF_XDP, where a vdev
 * has one queue). Here the dataplane owns the link: ARP, neighbour discovery, echo, checksums.
 */
#include "dataplane/egress.h"
#include "dataplane/ingress.h"
#include "dataplane/machine.h"
#include "dataplane/port_kinds.h"
#include "dataplane/shed.h"
#include "dataplane/trace.h"
#include "shared/counters.h"
#include "shared/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define TRANSMIT_ATTEMPTS 2
#define MLD_REPORT_MS 1000

/* When the link's announcements go out after the first poll: a link may take its time to come up. */
static const uint64_t announce_ms[] = {0, 1000, 4000};

/* Of one worker alone once the workers run. */
struct ethdev_queue {
	struct link_queue link;
	uint16_t device;
	uint16_t queue;
	uint8_t announce_round;
	uint64_t announce_from; /* time of the first poll */
	uint64_t mld_reported;
} __rte_cache_aligned;

struct ethdev_device {
	uint16_t id;
	bool probed;  /* by us, so removed by us */
	bool started;
	bool promiscuous;
};

struct ethdev_port {
	struct iface iface;
	struct neighbor_table *neighbors;
	unsigned device_count;
	struct ethdev_device *device; /* [config.devices_count] */
	struct ethdev_queue queue[];
};

static struct ethdev_queue *
queue_of(const struct port_queue *q)
{
	struct ethdev_queue *eq = &((struct ethdev_port *)q->port->state)->queue[q->queue];

	eq->link.counters = q->counters;
	eq->link.pool = q->pool;
	return eq;
}

/* ---- packets ------------------------------------------------------------------------------- */

/* Sends n frames, freeing what the device does not take; returns the number sent. */
static uint16_t
transmit(const struct ethdev_queue *eq, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t at = 0, sent = 0, ready;
	unsigned attempt;

	while (at < n) {
		ready = n - at;
		if (eq->link.iface->tx_offloads != 0)
			ready = rte_eth_tx_prepare(eq->device, eq->queue, &frames[at], ready);
		for (attempt = 0; ready > 0 && attempt < TRANSMIT_ATTEMPTS; attempt++) {
			uint16_t taken = rte_eth_tx_burst(eq->device, eq->queue, &frames[at], ready);

			at += taken;
			sent += taken;
			ready -= taken;
		}
		if (ready > 0)
			break; /* full */
		if (at < n)
			rte_pktmbuf_free(frames[at++]); /* the driver cannot send this one */
	}
	if (at < n)
		rte_pktmbuf_free_bulk(&frames[at], n - at);
	return sent;
}

static void
announce(struct ethdev_queue *eq, uint64_t now_ms)
{
	struct rte_mbuf *m;
	unsigned i;

	if (eq->announce_round == 0)
		eq->announce_from = now_ms;
	if (now_ms - eq->announce_from < announce_ms[eq->announce_round])
		return;
	for (i = 0; (m = rte_pktmbuf_alloc(eq->link.pool)) != NULL; i++) {
		if (!neighbor_announce(eq->link.iface, m, i)) {
			rte_pktmbuf_free(m);
			break;
		}
		transmit(eq, &m, 1);
	}
	eq->announce_round++;
}

static void
mld_report(struct ethdev_queue *eq, uint64_t now_ms)
{
	struct rte_mbuf *m;

	eq->link.mld_query_seen = false;
	if (eq->mld_reported != 0 && now_ms - eq->mld_reported < MLD_REPORT_MS)
		return;
	m = rte_pktmbuf_alloc(eq->link.pool);
	if (m == NULL)
		return;
	eq->mld_reported = now_ms;
	if (neighbor_mld_report(eq->link.iface, m, false))
		transmit(eq, &m, 1);
	else
		rte_pktmbuf_free(m);
}

static uint16_t
ethdev_rx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms)
{
	struct ethdev_queue *eq = queue_of(q);
	struct rte_mbuf *replies[PORT_BURST];
	uint16_t n, up, reply_count;

	if (unlikely(q->queue == 0 && eq->announce_round < RTE_DIM(announce_ms)))
		announce(eq, now_ms);
	max = RTE_MIN(max, PORT_BURST);
	n = rte_eth_rx_burst(eq->device, eq->queue, pkts, max);
	q->full = n == max;
	if (q->shedding != NULL)
		n = q->trace != NULL ? trace_shed(q, eq->link.iface, pkts, n) : shed_frames(q, eq->link.iface, pkts, n);
	if (n == 0)
		return 0;
	if (unlikely(q->trace != NULL))
		up = trace_ingress(q->trace, &eq->link, pkts, n, replies, &reply_count, now_ms);
	else
		up = ingress_burst(&eq->link, pkts, n, replies, &reply_count, now_ms);
	if (unlikely(reply_count > 0))
		transmit(eq, replies, reply_count);
	if (unlikely(eq->link.mld_query_seen))
		mld_report(eq, now_ms);
	return up;
}

static void
ethdev_tx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms)
{
	struct ethdev_queue *eq = queue_of(q);
	struct rte_mbuf *requests[PORT_BURST];
	uint16_t part, frames, request_count;

	for (; n > 0; n -= part, pkts += part) {
		part = RTE_MIN(n, PORT_BURST);
		frames = egress_burst(&eq->link, pkts, part, requests, &request_count, now_ms);
		if (unlikely(request_count > 0))
			transmit(eq, requests, request_count);
		q->counters[COUNTER_tx_failed] += (unsigned)(frames - transmit(eq, pkts, frames));
	}
}

static void
ethdev_wait(struct port_queue *q, uint32_t timeout_us)
{
	struct timespec t = {.tv_sec = timeout_us / 1000000, .tv_nsec = (long)(timeout_us % 1000000) * 1000};

	/* few of the devices can wake us: polled again after the time-out */
	(void)q;
	nanosleep(&t, NULL);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* The part of a device string that names it. */
static void
device_name(const char *text, char *name, size_t cap)
{
	size_t len = strcspn(text, ",");

	snprintf(name, cap, "%.*s", (int)RTE_MIN(len, cap - 1), text);
}

static bool
device_id(const char *text, uint16_t *id)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_dev_iterator it;
	uint16_t found;

	device_name(text, name, sizeof(name));
	if (rte_eth_dev_get_port_by_name(name, id) == 0)
		return true;
	/* a PCI address may be written in several ways */
	RTE_ETH_FOREACH_MATCHING_DEV(found, name, &it) {
		rte_eth_iterator_cleanup(&it);
		*id = found;
		return true;
	}
	return false;
}

/* The drivers of kernel interfaces say 'not permitted' for one that does not exist. True when name is that one. */
static bool
interface_missing(const char *text, char name[IF_NAMESIZE])
{
	const char *at = strstr(text, "iface=");

	if (at == NULL || (strncmp(text, "net_af_packet", 13) != 0 && strncmp(text, "net_af_xdp", 10) != 0))
		return false;
	at += strlen("iface=");
	snprintf(name, IF_NAMESIZE, "%.*s", (int)RTE_MIN(strcspn(at, ","), (size_t)IF_NAMESIZE - 1), at);
	return if_nametoindex(name) == 0;
}

static int
device_find(struct ethdev_device *d, const char *text, char *error, size_t cap)
{
	char name[IF_NAMESIZE], why[256];
	int rc;

	if (device_id(text, &d->id))
		return 0;
	if (interface_missing(text, name)) {
		snprintf(error, cap, "device %s: there is no interface %s", text, name);
		return -ENODEV;
	}
	rc = rte_dev_probe(text);
	if (rc == 0 && device_id(text, &d->id)) {
		d->probed = true;
		return 0;
	}
	if (rc == 0)
		rc = -ENODEV;
	if (machine_device_cause("", text, why, sizeof(why))) {
		snprintf(error, cap, "device %s cannot be opened: %s", text, why);
		return rc;
	}
	snprintf(error, cap, "device %s cannot be opened (%s); `rookctl host check` says what it lacks%s%s", text,
		 strerror(-rc),
		 rc == -ENOTSUP ? ", or DPDK's driver for it is not installed (Debian: librte-meta-net)" : "",
		 geteuid() != 0 ? "; most devices need root or CAP_NET_ADMIN and CAP_NET_RAW"
				: "");
	return rc;
}

/* Devices whose peer may be this machine's kernel or a guest, which leave UDP checksums to a NIC that never
 * comes. */
static bool
device_is_virtual(const char *driver)
{
	static const char *const names[] = {"net_af_packet", "net_af_xdp", "net_tap",
					    "net_virtio",    "net_memif",  "net_vhost"};
	unsigned i;

	for (i = 0; i < RTE_DIM(names); i++)
		if (strncmp(driver, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Our MAC address on the link. */
static int
device_mac(const struct ethdev_device *d, const char *text, struct rte_ether_addr *mac, char *error,
	   size_t cap)
{
	struct rte_eth_dev_info info;
	int rc = rte_eth_macaddr_get(d->id, mac);

	if (rc == 0)
		rc = rte_eth_dev_info_get(d->id, &info);
	if (rc != 0) {
		snprintf(error, cap, "device %s tells no MAC address: %s", text, strerror(-rc));
		return rc;
	}
	/* The kernel at the other end of a TAP has the device's own address; ours must differ. */
	if (strcmp(info.driver_name, "net_tap") == 0 && strstr(text, "remote=") == NULL)
		mac->addr_bytes[RTE_ETHER_ADDR_LEN - 1] ^= 1;
	return 0;
}

static void
offloads_choose(struct port *p, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf, bool first)
{
	const uint64_t rx_wanted = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	const uint64_t tx_wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	struct ethdev_port *s = p->state;
	uint64_t rx = 0, tx = 0;

	if (p->config->checksum_offload) {
		rx = info->rx_offload_capa & rx_wanted;
		tx = info->tx_offload_capa & tx_wanted;
	}
	/* all devices of a port share one iface: what one of them lacks, none uses */
	s->iface.trust_rx_checksum = (first || s->iface.trust_rx_checksum) && rx == rx_wanted;
	s->iface.tx_offloads = first ? tx : s->iface.tx_offloads & tx;
	conf->rxmode.offloads = rx == rx_wanted ? rx : 0;
	conf->txmode.offloads = tx;
}

static int
device_configure(struct port *p, struct ethdev_device *d, const char *text, uint16_t queues, bool first,
		 char *error, size_t cap)
{
	const uint64_t rss_wanted = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_UDP;
	struct ethdev_port *s = p->state;
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(d->id, &info);

	if (rc != 0) {
		snprintf(error, cap, "device %s tells nothing about itself: %s", text, strerror(-rc));
		return rc;
	}
	if (info.max_rx_queues < queues || info.max_tx_queues < queues) {
		snprintf(error, cap,
			 "device %s has %u queues, dataplane.workers is %u; list one device per worker, or "
			 "use a device with more queues or fewer workers",
			 text, RTE_MIN(info.max_rx_queues, info.max_tx_queues), queues);
		return -EINVAL;
	}
	s->iface.partial_checksum |= device_is_virtual(info.driver_name);
	offloads_choose(p, &info, &conf, first);
	if (queues > 1 && (info.flow_type_rss_offloads & rss_wanted) != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & rss_wanted;
	} else if (queues > 1) {
		log_info(port,
			 "device has no RSS that we could set; how it spreads packets over the queues is its "
			 "own affair",
			 "port=%u device=\"%s\" queues=%u", p->index, text, queues);
	}
	rc = rte_eth_dev_configure(d->id, queues, queues, &conf);
	if (rc != 0 && conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS) {
		log_warning(port, "device refuses RSS; its packets may all arrive on one worker",
			    "port=%u device=\"%s\" reason=\"%s\"", p->index, text, strerror(-rc));
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
		conf.rx_adv_conf.rss_conf.rss_hf = 0;
		rc = rte_eth_dev_configure(d->id, queues, queues, &conf);
	}
	if (rc != 0)
		snprintf(error, cap, "device %s cannot be configured with %u queues: %s", text, queues,
			 strerror(-rc));
	return rc;
}

/* first_queue: the worker that polls this device's queue 0. */
static int
device_queues(struct port *p, struct ethdev_device *d, const char *text, uint16_t first_queue,
	      uint16_t queues, char *error, size_t cap)
{
	uint16_t rx_descriptors = DESCRIPTORS, tx_descriptors = DESCRIPTORS;
	int socket = rte_eth_dev_socket_id(d->id);
	struct ethdev_port *s = p->state;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(d->id, &rx_descriptors, &tx_descriptors);
	uint16_t i;

	for (i = 0; rc == 0 && i < queues; i++) {
		struct rte_mempool *pool = p->pools[first_queue + i];
		struct ethdev_queue *eq = &s->queue[first_queue + i];

		eq->device = d->id;
		eq->queue = i;
		eq->link.iface = &s->iface;
		eq->link.neighbors = s->neighbors;
		eq->link.pool = pool;
		eq->link.port = p->index;
		if (rte_socket_count() > 1 && socket >= 0 && pool->socket_id >= 0 &&
		    socket != pool->socket_id)
			log_warning(port,
				    "device and its worker are on different NUMA nodes; choose "
				    "dataplane.cpus of the device's node",
				    "port=%u device=\"%s\" device_node=%d worker=%u worker_node=%d", p->index,
				    text, socket, first_queue + i, pool->socket_id);
		rc = rte_eth_rx_queue_setup(d->id, i, rx_descriptors, (unsigned)socket, NULL, pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(d->id, i, tx_descriptors, (unsigned)socket, NULL);
	}
	if (rc != 0)
		snprintf(error, cap,
			 "device %s: queue cannot be set up (%s); with little memory raise "
			 "dataplane.memory_mb",
			 text, strerror(-rc));
	return rc;
}

/* Solicitations come to multicast addresses: by the device's list, by all multicast, or promiscuous. */
static void
device_multicast(struct port *p, struct ethdev_device *d, const char *text)
{
	struct rte_ether_addr list[IFACE_ADDRESS_MAX + 1] = {{{0x33, 0x33, 0, 0, 0, 1}}};
	const struct iface *f = &((struct ethdev_port *)p->state)->iface;
	uint32_t count = 1;
	uint8_t group[16];
	unsigned i;

	if (!f->ipv6)
		return;
	for (i = 1; i <= f->count; i++) {
		if (f->address[i].ipv4)
			continue;
		ip_solicited_node(group, f->address[i].ip.bytes);
		ip_multicast_mac(&list[count++], group);
	}
	if (rte_eth_dev_set_mc_addr_list(d->id, list, count) == 0 || rte_eth_allmulticast_enable(d->id) == 0)
		return;
	if (rte_eth_promiscuous_enable(d->id) == 0) {
		d->promiscuous = true;
		return;
	}
	log_info(port,
		 "device cannot be told which multicast to take; IPv6 needs it to take all of its own accord",
		 "port=%u device=\"%s\"", p->index, text);
}

static int
device_start(struct port *p, struct ethdev_device *d, const char *text, char *error, size_t cap)
{
	struct ethdev_port *s = p->state;
	uint16_t mtu;
	int rc = rte_eth_dev_start(d->id);

	if (rc != 0) {
		snprintf(error, cap, "device %s cannot be started: %s", text, strerror(-rc));
		return rc;
	}
	d->started = true;
	device_multicast(p, d, text);
	/* The interface may be somebody else's as well: its MTU is taken as it is. */
	if (rte_eth_dev_get_mtu(d->id, &mtu) == 0 && mtu < s->iface.mtu) {
		log_warning(port, "device has a smaller mtu than configured",
			    "port=%u device=\"%s\" mtu=%u configured=%u", p->index, text, mtu, s->iface.mtu);
		s->iface.mtu = mtu;
	}
	return 0;
}

static int
device_open(struct port *p, unsigned i, char *error, size_t cap)
{
	const char *text = p->config->devices[i];
	bool per_worker = p->config->devices_count > 1;
	struct ethdev_port *s = p->state;
	struct ethdev_device *d = &s->device[i];
	uint16_t queues = per_worker ? 1 : p->queues;
	struct rte_ether_addr mac;
	int rc = device_find(d, text, error, cap);

	if (rc != 0)
		return rc;
	s->device_count = i + 1;
	rc = device_mac(d, text, &mac, error, cap);
	if (rc == 0 && i == 0)
		rc = iface_init(&s->iface, p->config, &mac, error, cap);
	if (rc == 0 && !rte_is_same_ether_addr(&mac, &s->iface.mac)) {
		snprintf(error, cap,
			 "device %s has another MAC address than %s; the devices of one port are the queues "
			 "of one interface, others are ports of their own",
			 text, p->config->devices[0]);
		rc = -EINVAL;
	}
	if (rc == 0)
		rc = device_configure(p, d, text, queues, i == 0, error, cap);
	if (rc == 0)
		rc = device_queues(p, d, text, per_worker ? (uint16_t)i : 0, queues, error, cap);
	if (rc == 0)
		rc = device_start(p, d, text, error, cap);
	return rc;
}

static void
ethdev_close(struct port *p)
{
	struct ethdev_port *s = p->state;
	unsigned i;

	if (s == NULL)
		return;
	for (i = 0; i < s->device_count; i++) {
		struct ethdev_device *d = &s->device[i];
		struct rte_eth_dev_info info = {0};

		if (d->promiscuous)
			(void)rte_eth_promiscuous_disable(d->id);
		if (d->started) {
			(void)rte_flow_flush(d->id, &(struct rte_flow_error){0});
			(void)rte_eth_dev_stop(d->id);
		}
		if (rte_eth_dev_info_get(d->id, &info) != 0)
			info.device = NULL;
		(void)rte_eth_dev_close(d->id);
		if (d->probed && info.device != NULL)
			(void)rte_dev_remove(info.device);
	}
	neighbor_table_free(s->neighbors);
	free(s->device);
	free(s);
	p->state = NULL;
}

static int
ethdev_open(struct port *p, char *error, size_t cap)
{
	unsigned i, count = p->config->devices_count;
	size_t size = RTE_ALIGN(sizeof(struct ethdev_port) + p->queues * sizeof(struct ethdev_queue),
				RTE_CACHE_LINE_SIZE);
	struct ethdev_port *s;
	int rc = 0;

	if (count == 0) {
		snprintf(error, cap, "no device; name one in dataplane.ports[%u].devices", p->index);
		return -EINVAL;
	}
	if (count != 1 && count != p->queues) {
		snprintf(error, cap,
			 "%u devices for %u workers; give one device with a queue per worker, or one device "
			 "per worker",
			 count, p->queues);
		return -EINVAL;
	}
	s = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (s == NULL) {
		snprintf(error, cap, "no memory for %u queues", p->queues);
		return -ENOMEM;
	}
	memset(s, 0, size);
	p->state = s;
	s->device = calloc(count, sizeof(s->device[0]));
	s->neighbors = neighbor_table_new(p->pools[0]->socket_id);
	if (s->device == NULL || s->neighbors == NULL) {
		snprintf(error, cap, "no memory for the neighbour table; raise dataplane.memory_mb");
		rc = -ENOMEM;
	}
	for (i = 0; rc == 0 && i < count; i++)
		rc = device_open(p, i, error, cap);
	if (rc != 0)
		ethdev_close(p);
	return rc;
}

/* ---- bans ---------------------------------------------------------------------------------- */

static bool
prefix_is_ipv4(const struct prefix *p)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return p->bits >= 96 && memcmp(p->ip, mapped, sizeof(mapped)) == 0;
}

/* The drop of UDP from there, and of nothing else: as the workers do it, ARP and neighbour discovery go on. Like them before all others. */
static struct rte_flow *
drop_rule(uint16_t device, const struct prefix *from, uint32_t priority, struct rte_flow_error *error)
{
	const struct rte_flow_attr attr = {.ingress = 1, .priority = priority};
	const struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_DROP}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_item_ipv4 ip4 = {0}, mask4 = {0};
	struct rte_flow_item_ipv6 ip6 = {0}, mask6 = {0};
	struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &ip6, .mask = &mask6},
		{.type = RTE_FLOW_ITEM_TYPE_UDP},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	uint8_t mask[16] = {0};

	for (unsigned bit = 0; bit < from->bits; bit++)
		mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	memcpy(ip6.hdr.src_addr, from->ip, 16);
	memcpy(mask6.hdr.src_addr, mask, 16);
	if (prefix_is_ipv4(from)) {
		memcpy(&ip4.hdr.src_addr, from->ip + 12, 4);
		memcpy(&mask4.hdr.src_addr, mask + 12, 4);
		pattern[1] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip4, .mask = &mask4};
	}
	return rte_flow_create(device, &attr, pattern, actions, error);
}

static int
ethdev_ban(struct port *p, const struct prefix *from, void **rule)
{
	struct ethdev_port *s = p->state;
	struct rte_flow_error error = {0};

	/* Devices that are queues of one interface (AF_XDP) have no rules of their own. */
	if (s->device_count != 1)
		return -ENOSYS;
	*rule = drop_rule(s->device[0].id, from, 0, &error);
	/* The kernel, which does it for net_tap, holds one family per priority. */
	if (*rule == NULL && rte_errno != ENOSYS && !prefix_is_ipv4(from))
		*rule = drop_rule(s->device[0].id, from, 1, &error);
	if (*rule != NULL)
		return 0;
	log_debug(port, "device takes no rule for a ban", "port=%u errno=%d reason=\"%s\"", p->index, rte_errno,
		  error.message != NULL ? error.message : "");
	return rte_errno != 0 ? -rte_errno : -EIO;
}

static void
ethdev_ban_end(struct port *p, void *rule)
{
	struct ethdev_port *s = p->state;
	struct rte_flow_error error = {0};

	if (rte_flow_destroy(s->device[0].id, rule, &error) != 0)
		log_error(port, "device keeps the rule of a ban that has ended", "port=%u reason=\"%s\" mend=\"rookctl restart dataplane\"",
			  p->index, error.message != NULL ? error.message : "");
}

/* ---- description --------------------------------------------------------------------------- */

static int
append(char *buf, size_t cap, int at, const char *format, ...) __attribute__((format(printf, 4, 5)));

static int
append(char *buf, size_t cap, int at, const char *format, ...)
{
	va_list args;
	int n;

	if (at < 0 || (size_t)at >= cap)
		return at;
	va_start(args, format);
	n = vsnprintf(buf + at, cap - (size_t)at, format, args);
	va_end(args);
	return n < 0 ? at : at + n;
}

static void
ethdev_describe(const struct port *p, char *buf, size_t cap)
{
	const struct ethdev_port *s = p->state;
	const struct iface *f = &s->iface;
	char ip[INET6_ADDRSTRLEN];
	struct rte_eth_link link;
	unsigned i;
	int at;

	at = append(buf, cap, 0, "ethdev %s", p->config->devices[0]);
	for (i = 1; i < s->device_count; i++)
		at = append(buf, cap, at, " %s", p->config->devices[i]);
	at = append(buf, cap, at, ", " RTE_ETHER_ADDR_PRT_FMT, RTE_ETHER_ADDR_BYTES(&f->mac));
	for (i = 1; i <= f->count; i++) {
		const struct iface_address *a = &f->address[i];

		inet_ntop(a->ipv4 ? AF_INET : AF_INET6, a->ip.bytes + (a->ipv4 ? 12 : 0), ip, sizeof(ip));
		at = append(buf, cap, at, " %s/%u", ip, a->ipv4 ? a->prefix - 96 : a->prefix);
	}
	at = append(buf, cap, at, ", udp port %u, %u queue%s, %s checksums", rte_be_to_cpu_16(f->udp_port),
		    p->queues, p->queues == 1 ? "" : "s",
		    f->tx_offloads != 0 || f->trust_rx_checksum ? "offloaded" : "software");
	if (rte_eth_link_get_nowait(s->device[0].id, &link) == 0)
		append(buf, cap, at, ", link %s", link.link_status == RTE_ETH_LINK_UP ? "up" : "down");
}

const struct port_ops port_ethdev_ops = {
	.sheds = true,
	.open = ethdev_open,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.wait = ethdev_wait,
	.ban = ethdev_ban,
	.ban_end = ethdev_ban_end,
	.close = ethdev_close,
	.describe = ethdev_describe,
};
