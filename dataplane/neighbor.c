/* SPDX-License-Identifier: BSD-3-Clause */
/* The neighbour table. The packets that fill it are in neighbor_packet.c. */
#include "dataplane/neighbor.h"

#include <rte_malloc.h>
#include <rte_random.h>

/* Further state of an entry, beside enum neighbor_source. */
#define ENTRY_FREE 0
#define ENTRY_ASKED 1
#define ENTRY_STATE 0x3
#define ENTRY_SUSPECT 0x4 /* a datagram came from elsewhere: ask */

#define READ_ATTEMPTS 4

/* Every field: written by whichever worker made sequence odd, but for asked and seen, which any worker may
 * set. Read by all workers. */
struct entry {
	_Atomic uint32_t sequence;
	_Atomic uint32_t state;
	_Atomic uint64_t seen;  /* ms */
	_Atomic uint64_t asked; /* ms; 0: never */
	_Atomic uint64_t ip[2];
	_Atomic uint64_t mac;
} __rte_aligned(64);

struct neighbor_table {
	uint64_t seed;              /* constant: nobody outside can aim at one bucket */
	_Atomic uint64_t router[2]; /* any worker; MAC, 0: none. IPv6, IPv4 */
	struct entry entry[NEIGHBOR_MAX];
};

_Static_assert((NEIGHBOR_MAX / NEIGHBOR_WAYS & (NEIGHBOR_MAX / NEIGHBOR_WAYS - 1)) == 0,
	       "buckets are masked");

struct neighbor_table *
neighbor_table_new(int numa_node)
{
	struct neighbor_table *t = rte_zmalloc_socket("neighbors", sizeof(*t), 64, numa_node);

	if (t != NULL)
		t->seed = rte_rand() | 1;
	return t;
}

void
neighbor_table_free(struct neighbor_table *t)
{
	rte_free(t);
}

static inline uint64_t
mac_pack(const struct rte_ether_addr *mac)
{
	uint32_t low;
	uint16_t high;

	/* In registers: a word read back from narrower stores would wait until those, and all before them, are done. */
	memcpy(&low, mac->addr_bytes, sizeof(low));
	memcpy(&high, mac->addr_bytes + sizeof(low), sizeof(high));
	return (uint64_t)high << 32 | low;
}

static inline void
mac_unpack(struct rte_ether_addr *mac, uint64_t v)
{
	memcpy(mac->addr_bytes, &v, sizeof(mac->addr_bytes));
}

static inline struct entry *
bucket(const struct neighbor_table *t, const uint64_t ip[2])
{
	uint64_t h = (ip[0] ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32 ^ ip[1]) * (t->seed | 1);
	h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 32;
	return (struct entry *)&t->entry[(h & (NEIGHBOR_MAX / NEIGHBOR_WAYS - 1)) * NEIGHBOR_WAYS];
}

static inline uint32_t
state_of(struct entry *e)
{
	return atomic_load_explicit(&e->state, memory_order_relaxed);
}

static inline bool
entry_is(struct entry *e, const uint64_t ip[2])
{
	return atomic_load_explicit(&e->ip[1], memory_order_relaxed) == ip[1] &&
	       atomic_load_explicit(&e->ip[0], memory_order_relaxed) == ip[0] && state_of(e) != ENTRY_FREE;
}

static struct entry *
find(const struct neighbor_table *t, const uint64_t ip[2])
{
	struct entry *e = bucket(t, ip);
	unsigned i;

	for (i = 0; i < NEIGHBOR_WAYS; i++)
		if (entry_is(&e[i], ip))
			return &e[i];
	return NULL;
}

static inline uint64_t
age_of(struct entry *e, uint64_t now)
{
	uint64_t seen = atomic_load_explicit(&e->seen, memory_order_relaxed);

	/* another worker's clock may be a little ahead */
	return now > seen ? now - seen : 0;
}

/* The entry of a bucket that is missed least: free, then asked for in vain, then heard of longest ago. */
static struct entry *
victim(struct entry *e, uint64_t now)
{
	uint64_t idle, most = 0;
	struct entry *found = e;
	unsigned i;

	for (i = 0; i < NEIGHBOR_WAYS; i++) {
		uint32_t state = state_of(&e[i]) & ENTRY_STATE;

		if (state == ENTRY_FREE)
			return &e[i];
		/* a flood of forged sources makes 'heard' entries, and must not push out confirmed ones in
		 * use */
		idle = age_of(&e[i], now) + NEIGHBOR_DEAD_MS;
		if (state == NEIGHBOR_CONFIRMED)
			idle -= NEIGHBOR_DEAD_MS;
		else if (state == ENTRY_ASKED)
			idle += NEIGHBOR_DEAD_MS;
		if (idle >= most) {
			most = idle;
			found = &e[i];
		}
	}
	return found;
}

static bool
write_begin(struct entry *e)
{
	uint32_t s = atomic_load_explicit(&e->sequence, memory_order_relaxed);

	if ((s & 1) != 0 ||
	    !atomic_compare_exchange_strong_explicit(&e->sequence, &s, s + 1, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	atomic_thread_fence(memory_order_release);
	return true;
}

static void
write_end(struct entry *e)
{
	atomic_fetch_add_explicit(&e->sequence, 1, memory_order_release);
}

static void
entry_write(struct entry *e, const uint64_t ip[2], uint64_t mac, uint32_t state, uint64_t seen,
	    uint64_t asked)
{
	if (!write_begin(e))
		return;
	atomic_store_explicit(&e->ip[0], ip[0], memory_order_relaxed);
	atomic_store_explicit(&e->ip[1], ip[1], memory_order_relaxed);
	atomic_store_explicit(&e->mac, mac, memory_order_relaxed);
	atomic_store_explicit(&e->state, state, memory_order_relaxed);
	atomic_store_explicit(&e->seen, seen, memory_order_relaxed);
	atomic_store_explicit(&e->asked, asked, memory_order_relaxed);
	write_end(e);
}

void
neighbor_learn(struct neighbor_table *t, const void *ip_bytes, const struct rte_ether_addr *addr,
	       enum neighbor_source source, bool create, uint64_t now)
{
	uint64_t ip[2], mac = mac_pack(addr);
	uint32_t state;
	struct entry *e;

	memcpy(ip, ip_bytes, sizeof(ip));
	e = find(t, ip);
	if (e == NULL) {
		if (create)
			entry_write(victim(bucket(t, ip), now), ip, mac, source, now, 0);
		return;
	}
	state = state_of(e);
	if ((state & ENTRY_STATE) != ENTRY_ASKED &&
	    atomic_load_explicit(&e->mac, memory_order_relaxed) == mac) {
		if (source == NEIGHBOR_CONFIRMED && state != NEIGHBOR_CONFIRMED)
			entry_write(e, ip, mac, source, now, now);
		else if (age_of(e, now) >= NEIGHBOR_TOUCH_MS)
			atomic_store_explicit(&e->seen, now, memory_order_relaxed);
		return;
	}
	if (source == NEIGHBOR_CONFIRMED || (state & ENTRY_STATE) == ENTRY_ASKED ||
	    age_of(e, now) >= NEIGHBOR_STALE_MS)
		entry_write(e, ip, mac, source, now, atomic_load_explicit(&e->asked, memory_order_relaxed));
	else if ((state & ENTRY_SUSPECT) == 0)
		atomic_fetch_or_explicit(&e->state, ENTRY_SUSPECT, memory_order_relaxed);
}

/* True for one caller each second. */
static bool
may_ask(struct entry *e, uint64_t now)
{
	uint64_t asked = atomic_load_explicit(&e->asked, memory_order_relaxed);

	return now >= asked + NEIGHBOR_ASK_MS &&
	       atomic_compare_exchange_strong_explicit(&e->asked, &asked, now, memory_order_relaxed,
						       memory_order_relaxed);
}

bool
neighbor_lookup(struct neighbor_table *t, const void *ip_bytes, uint64_t now, struct rte_ether_addr *mac,
		bool *ask)
{
	uint64_t ip[2], found, age;
	uint32_t sequence, state;
	struct entry *e;
	unsigned i;

	*ask = false;
	memcpy(ip, ip_bytes, sizeof(ip));
	e = find(t, ip);
	if (e == NULL) {
		*ask = true;
		entry_write(victim(bucket(t, ip), now), ip, 0, ENTRY_ASKED, now, now);
		return false;
	}
	for (i = 0; i < READ_ATTEMPTS; i++) {
		sequence = atomic_load_explicit(&e->sequence, memory_order_acquire);
		if ((sequence & 1) != 0)
			continue;
		if (!entry_is(e, ip))
			return false;
		state = state_of(e);
		age = age_of(e, now);
		found = atomic_load_explicit(&e->mac, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&e->sequence, memory_order_relaxed) != sequence)
			continue;
		if ((state & ENTRY_STATE) == ENTRY_ASKED || age >= NEIGHBOR_DEAD_MS) {
			*ask = may_ask(e, now);
			return false;
		}
		if (age >= NEIGHBOR_STALE_MS || (state & ENTRY_SUSPECT) != 0)
			*ask = may_ask(e, now);
		mac_unpack(mac, found);
		return true;
	}
	return false;
}

void
neighbor_prefetch(const struct neighbor_table *t, const void *ip_bytes)
{
	uint64_t ip[2];

	memcpy(ip, ip_bytes, sizeof(ip));
	rte_prefetch0(bucket(t, ip));
}

void
neighbor_learn_router(struct neighbor_table *t, bool ipv4, const struct rte_ether_addr *addr)
{
	uint64_t mac = mac_pack(addr);

	/* compared first: the line stays shared while nothing changes */
	if (atomic_load_explicit(&t->router[ipv4], memory_order_relaxed) != mac)
		atomic_store_explicit(&t->router[ipv4], mac, memory_order_relaxed);
}

bool
neighbor_router(struct neighbor_table *t, bool ipv4, struct rte_ether_addr *mac)
{
	uint64_t v = atomic_load_explicit(&t->router[ipv4], memory_order_relaxed);

	if (v == 0)
		return false;
	mac_unpack(mac, v);
	return true;
}

void
neighbor_learn_ipv4(struct neighbor_table *t, const struct iface *f, rte_be32_t ip, const struct rte_ether_addr *mac, uint64_t now_ms)
{
	struct ip_address mapped;

	if (!iface_on_link_ipv4(f, ip)) {
		neighbor_learn_router(t, true, mac);
		return;
	}
	ip_from_ipv4(mapped.bytes, &ip);
	neighbor_learn(t, mapped.bytes, mac, NEIGHBOR_HEARD, true, now_ms);
}

void
neighbor_learn_packet(struct neighbor_table *t, const struct iface *f, const void *ip,
		      const struct rte_ether_addr *mac, uint64_t now_ms)
{
	if (iface_on_link(f, ip))
		neighbor_learn(t, ip, mac, NEIGHBOR_HEARD, true, now_ms);
	else
		neighbor_learn_router(t, ip_is_ipv4(ip), mac);
}
