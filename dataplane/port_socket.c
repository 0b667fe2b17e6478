/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port that needs nothing: one UDP socket per queue, read and written in bursts straight into and out of
 * mbufs. With several queues the kernel spreads flows over the sockets (SO_REUSEPORT).
 *
 * On a wildcard address every packet tells which address of ours it came to, and answers leave from there:
 * local_address is the table of those, and packet_info.local the index.
 */
#include "dataplane/port_kinds.h"
#include "shared/counters.h"
#include "shared/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <rte_malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 << 20)
/* Our addresses that clients use, on a wildcard port; further ones are answered from the default one. */
#define LOCAL_MAX 64
#define LOCAL_TAKEN 1
#define LOCAL_READY 2

/* An address of ours. state: any worker moves it from 0 to LOCAL_TAKEN (and is then the only writer of the
 * rest) to LOCAL_READY; constant from then on, read by all. Only the kernel fills in what is stored here, and
 * only with addresses of this machine, so nobody outside can make it grow. */
struct local_address {
	_Atomic uint32_t state;
	uint32_t ifindex; /* IPv6 link-local: the link it is on */
	uint8_t ip[16];
};

/* Room for one IP_PKTINFO or IPV6_PKTINFO message. */
union control_buffer {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Of one worker alone. */
struct socket_queue {
	int fd;
	uint16_t spare_count; /* mbufs of rx that wait for the next burst */
	struct rte_mbuf *spare[PORT_BURST];
	struct mmsghdr rx[PORT_BURST];
	struct iovec rx_iov[PORT_BURST];
	struct sockaddr_storage rx_peer[PORT_BURST];
	union control_buffer rx_control[PORT_BURST];
	struct mmsghdr tx[PORT_BURST];
	struct iovec tx_iov[PORT_BURST];
	struct sockaddr_storage tx_peer[PORT_BURST];
	union control_buffer tx_control[PORT_BURST];
} __rte_cache_aligned;

struct socket_port {
	struct endpoint listen;
	bool wildcard;
	struct local_address local[LOCAL_MAX + 1]; /* [0] stays empty: the kernel's choice */
	struct socket_queue queue[];
};

static struct socket_queue *
queue_of(const struct port_queue *q)
{
	return &((struct socket_port *)q->port->state)->queue[q->queue];
}

/* ---- local addresses of a wildcard port ---------------------------------------------------- */

static unsigned
local_index(struct socket_port *s, const uint8_t *ip, uint32_t ifindex)
{
	unsigned i;

	for (i = 1; i <= LOCAL_MAX; i++) {
		struct local_address *l = &s->local[i];
		uint32_t state = atomic_load_explicit(&l->state, memory_order_acquire);

		if (state == LOCAL_READY) {
			if (memcmp(l->ip, ip, sizeof(l->ip)) == 0 && l->ifindex == ifindex)
				return i;
			continue;
		}
		/* being filled in at this moment: this one packet is answered from the default address */
		if (state != 0 || !atomic_compare_exchange_strong(&l->state, &state, LOCAL_TAKEN))
			return 0;
		memcpy(l->ip, ip, sizeof(l->ip));
		l->ifindex = ifindex;
		atomic_store_explicit(&l->state, LOCAL_READY, memory_order_release);
		return i;
	}
	return 0;
}

/* Which of our addresses a received message came to. */
static unsigned
local_of_message(struct socket_port *s, struct msghdr *msg)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	struct endpoint e;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(c), sizeof(info4));
			endpoint_set_ipv4(&e, &info4.ipi_spec_dst, 0);
			return local_index(s, e.ip, 0);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			/* all nodes: nothing to answer from */
			if (IN6_IS_ADDR_MULTICAST(&info6.ipi6_addr))
				return 0;
			return local_index(s, info6.ipi6_addr.s6_addr,
					   IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr) ? info6.ipi6_ifindex : 0);
		}
	}
	return 0;
}

/* Makes msg leave from our address number local. */
static void
message_set_local(const struct socket_port *s, struct msghdr *msg, union control_buffer *control,
		  unsigned local, bool ipv4)
{
	const struct local_address *l = &s->local[local];
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info4 = {0};
	struct endpoint e;
	struct cmsghdr *c;

	msg->msg_control = NULL;
	msg->msg_controllen = 0;
	if (local == 0 || local > LOCAL_MAX ||
	    atomic_load_explicit(&l->state, memory_order_acquire) != LOCAL_READY)
		return;
	memcpy(e.ip, l->ip, sizeof(e.ip));
	if (endpoint_is_ipv4(&e) != ipv4)
		return;
	msg->msg_control = control;
	msg->msg_controllen = ipv4 ? CMSG_SPACE(sizeof(info4)) : CMSG_SPACE(sizeof(info6));
	c = CMSG_FIRSTHDR(msg);
	if (ipv4) {
		memcpy(&info4.ipi_spec_dst, l->ip + 12, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info4));
		memcpy(CMSG_DATA(c), &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, l->ip, sizeof(info6.ipi6_addr));
		info6.ipi6_ifindex = l->ifindex;
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info6));
		memcpy(CMSG_DATA(c), &info6, sizeof(info6));
	}
}

/* ---- packets ------------------------------------------------------------------------------- */

static uint16_t
rx_prepare(struct socket_queue *sq, const struct socket_port *s, struct rte_mempool *pool, uint16_t max)
{
	uint16_t i;

	if (sq->spare_count < max &&
	    rte_pktmbuf_alloc_bulk(pool, &sq->spare[sq->spare_count], max - sq->spare_count) == 0)
		sq->spare_count = max;
	max = RTE_MIN(max, sq->spare_count);
	for (i = 0; i < max; i++) {
		struct msghdr *msg = &sq->rx[i].msg_hdr;

		sq->rx_iov[i].iov_base = rte_pktmbuf_mtod(sq->spare[i], void *);
		sq->rx_iov[i].iov_len = WIRE_DATAGRAM_MAX; /* a longer one is marked MSG_TRUNC */
		msg->msg_iov = &sq->rx_iov[i];
		msg->msg_iovlen = 1;
		msg->msg_name = &sq->rx_peer[i];
		msg->msg_namelen = sizeof(sq->rx_peer[i]);
		msg->msg_control = s->wildcard ? &sq->rx_control[i] : NULL;
		msg->msg_controllen = s->wildcard ? sizeof(sq->rx_control[i]) : 0;
		msg->msg_flags = 0;
	}
	return max;
}

/* A counter for a datagram that is dropped, or -1 with the mbuf filled. */
static int
rx_take(const struct port_queue *q, struct socket_port *s, struct mmsghdr *mm, struct rte_mbuf *m)
{
	struct packet_info *info = packet_info(m);

	if ((mm->msg_hdr.msg_flags & MSG_TRUNC) != 0)
		return COUNTER_drop_oversize;
	if (endpoint_from_sockaddr(&info->peer, mm->msg_hdr.msg_name) != 0)
		return COUNTER_drop_ip_malformed;
	if (info->peer.port == 0)
		return COUNTER_drop_udp_port;
	info->port = q->index;
	info->local = s->wildcard ? (uint8_t)local_of_message(s, &mm->msg_hdr) : 0;
	m->data_len = (uint16_t)mm->msg_len;
	m->pkt_len = mm->msg_len;
	return -1;
}

static uint16_t
socket_rx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t max, uint64_t now_ms)
{
	struct socket_port *s = q->port->state;
	struct socket_queue *sq = queue_of(q);
	uint16_t i, up = 0, kept = 0;
	uint64_t bytes = 0;
	int n, drop;

	(void)now_ms;
	max = rx_prepare(sq, s, q->pool, RTE_MIN(max, PORT_BURST));
	if (max == 0)
		return 0;
	/* An error here is what an ICMP message said about some earlier packet: it takes nothing from the
	 * queue and concerns no packet of this burst. */
	n = recvmmsg(sq->fd, sq->rx, max, MSG_DONTWAIT, NULL);
	q->full = n == max;
	if (n <= 0)
		return 0;
	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = sq->spare[i];

		drop = rx_take(q, s, &sq->rx[i], m);
		if (drop < 0) {
			bytes += m->data_len;
			pkts[up++] = m;
		} else {
			q->counters[drop]++;
			sq->spare[kept++] = m;
		}
	}
	memmove(&sq->spare[kept], &sq->spare[n], (sq->spare_count - (unsigned)n) * sizeof(sq->spare[0]));
	sq->spare_count = (uint16_t)(sq->spare_count - n + kept);
	q->counters[COUNTER_rx_packets] += (unsigned)n;
	q->counters[COUNTER_rx_bytes] += bytes;
	return up;
}

static void
tx_prepare(struct socket_queue *sq, const struct socket_port *s, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		const struct packet_info *info = packet_info(pkts[i]);
		struct msghdr *msg = &sq->tx[i].msg_hdr;

		sq->tx_iov[i].iov_base = rte_pktmbuf_mtod(pkts[i], void *);
		sq->tx_iov[i].iov_len = pkts[i]->data_len;
		msg->msg_iov = &sq->tx_iov[i];
		msg->msg_iovlen = 1;
		msg->msg_name = &sq->tx_peer[i];
		msg->msg_namelen = endpoint_to_sockaddr(&info->peer, &sq->tx_peer[i]);
		msg->msg_flags = 0;
		if (s->wildcard) {
			message_set_local(s, msg, &sq->tx_control[i], info->local,
					  endpoint_is_ipv4(&info->peer));
		} else {
			msg->msg_control = NULL;
			msg->msg_controllen = 0;
		}
	}
}

/* Sends the messages prepared; returns the number sent. */
static uint16_t
tx_send(struct socket_queue *sq, uint16_t n)
{
	uint16_t at = 0, sent = 0;
	int rc;

	while (at < n) {
		rc = sendmmsg(sq->fd, &sq->tx[at], n - at, MSG_DONTWAIT);
		if (rc > 0) {
			at += (uint16_t)rc;
			sent += (uint16_t)rc;
			continue;
		}
		/* full: what is left is lost, as on a full queue of a NIC */
		if (errno == EAGAIN || errno == ENOBUFS)
			break;
		/* The first one cannot go (no route, forbidden), or an ICMP error is reported in its place:
		 * the others may. */
		at++;
	}
	return sent;
}

static void
socket_tx(struct port_queue *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now_ms)
{
	const struct socket_port *s = q->port->state;
	struct socket_queue *sq = queue_of(q);
	uint16_t part;

	(void)now_ms;
	for (; n > 0; n -= part, pkts += part) {
		part = RTE_MIN(n, PORT_BURST);
		tx_prepare(sq, s, pkts, part);
		q->counters[COUNTER_tx_failed] += (unsigned)(part - tx_send(sq, part));
		rte_pktmbuf_free_bulk(pkts, part);
	}
}

static void
socket_wait(struct port_queue *q, uint32_t timeout_us)
{
	struct timespec timeout = {.tv_sec = timeout_us / 1000000,
				   .tv_nsec = (long)(timeout_us % 1000000) * 1000};
	struct pollfd p = {.fd = queue_of(q)->fd, .events = POLLIN};

	/* woken, timed out or interrupted: the caller looks again in each case */
	(void)ppoll(&p, 1, &timeout, NULL);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int
open_error(const struct port *p, int code, char *error, size_t cap)
{
	const char *listen = p->config->listen;

	switch (code) {
	case EADDRINUSE:
		snprintf(error, cap,
			 "%s is in use by another program; stop it or change dataplane.ports[%u].listen",
			 listen, p->index);
		break;
	case EADDRNOTAVAIL:
		snprintf(error, cap, "%s is no address of this machine; change dataplane.ports[%u].listen",
			 listen, p->index);
		break;
	case EACCES:
		snprintf(error, cap,
			 "%s needs CAP_NET_BIND_SERVICE; use a port above 1023 in dataplane.ports[%u].listen",
			 listen, p->index);
		break;
	case EAFNOSUPPORT:
		snprintf(error, cap, "%s: this machine has no IPv6; change dataplane.ports[%u].listen",
			 listen, p->index);
		break;
	default:
		snprintf(error, cap, "%s cannot be opened: %s", listen, strerror(code));
	}
	return -code;
}

static bool
is_wildcard(const struct endpoint *e)
{
	static const uint8_t zero[16];
	size_t from = endpoint_is_ipv4(e) ? 12 : 0;

	return memcmp(e->ip + from, zero, 16 - from) == 0;
}

/* Returns a bound socket or a negative errno. */
static int
socket_bind(const struct endpoint *listen, bool share, bool wildcard)
{
	bool ipv4 = endpoint_is_ipv4(listen);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(listen, &ss);
	int fd, rc, one = 1;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if ((!ipv4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
	    (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
	    (wildcard && ipv4 && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) != 0) ||
	    (wildcard && !ipv4 && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) != 0) ||
	    bind(fd, (struct sockaddr *)&ss, len) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* As large as we may; the forced form needs CAP_NET_ADMIN. */
static void
socket_enlarge(int fd)
{
	int size = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* With SO_REUSEPORT another server of the same user would share the port without a word, each getting a part
 * of the packets. A socket without it cannot be bound beside any other. Port 0 becomes the port that the
 * kernel chose. */
static int
probe_free(struct socket_port *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = socket_bind(&s->listen, false, false);
	int rc = 0;

	if (fd < 0)
		return fd;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		rc = -errno;
	else
		rc = endpoint_from_sockaddr(&s->listen, (struct sockaddr *)&ss);
	close(fd);
	return rc;
}

static void
socket_close(struct port *p)
{
	struct socket_port *s = p->state;
	uint16_t i, k;

	if (s == NULL)
		return;
	for (i = 0; i < p->queues; i++) {
		struct socket_queue *sq = &s->queue[i];

		if (sq->fd >= 0)
			close(sq->fd);
		for (k = 0; k < sq->spare_count; k++)
			rte_pktmbuf_free(sq->spare[k]);
	}
	free(s);
	p->state = NULL;
}

static int
socket_open(struct port *p, char *error, size_t cap)
{
	struct socket_port *s;
	uint16_t i;
	int rc;

	if (p->config->listen == NULL || p->config->listen[0] == '\0') {
		snprintf(error, cap, "no listen address; set dataplane.ports[%u].listen, as in 127.0.0.1:%u",
			 p->index, WIRE_PORT);
		return -EINVAL;
	}
	s = aligned_alloc(RTE_CACHE_LINE_SIZE,
			  RTE_ALIGN(sizeof(*s) + p->queues * sizeof(s->queue[0]), RTE_CACHE_LINE_SIZE));
	if (s == NULL) {
		snprintf(error, cap, "no memory for %u queues", p->queues);
		return -ENOMEM;
	}
	memset(s, 0, sizeof(*s) + p->queues * sizeof(s->queue[0]));
	for (i = 0; i < p->queues; i++)
		s->queue[i].fd = -1;
	p->state = s;
	if (endpoint_parse(&s->listen, p->config->listen, WIRE_PORT) != 0) {
		snprintf(error, cap,
			 "dataplane.ports[%u].listen is \"%s\"; write ADDRESS:PORT in numbers, as in "
			 "127.0.0.1:%u or [::]:%u",
			 p->index, p->config->listen, WIRE_PORT, WIRE_PORT);
		rc = -EINVAL;
		goto fail;
	}
	s->wildcard = is_wildcard(&s->listen);
	rc = probe_free(s);
	for (i = 0; rc == 0 && i < p->queues; i++) {
		rc = socket_bind(&s->listen, p->queues > 1, s->wildcard);
		if (rc >= 0) {
			s->queue[i].fd = rc;
			socket_enlarge(rc);
			rc = 0;
		}
	}
	if (rc == 0)
		return 0;
	open_error(p, -rc, error, cap);
fail:
	socket_close(p);
	return rc;
}

static void
socket_describe(const struct port *p, char *buf, size_t cap)
{
	const struct socket_port *s = p->state;
	char address[ENDPOINT_STRLEN];

	snprintf(buf, cap, "socket %s, %u queue%s", endpoint_format(&s->listen, address), p->queues,
		 p->queues == 1 ? "" : "s");
}

const struct port_ops port_socket_ops = {
	.open = socket_open,
	.rx = socket_rx,
	.tx = socket_tx,
	.wait = socket_wait,
	.close = socket_close,
	.describe = socket_describe,
};
