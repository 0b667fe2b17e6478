/* SPDX-License-Identifier: BSD-3-Clause */
/* See bench.h for the method, docs/performance.md for the figures. */
#include "rows.h"

#include "shared/log.h"

#include <getopt.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char usage[] =
	"usage: rookbench [--rows NAME,...] [--rounds N] [--sessions MAX] [--memory MB] [--dir FOLDER] [--huge]\n"
	"       rookbench pcap FILE SERVER-MAC SESSIONS\n"
	"       rookbench live SESSIONS SECONDS [INTERVAL]\n"
	"\n"
	"Drives the dataplane's worker on one core over in-memory ports; prints the goals table, and writes\n"
	"latest.json and the plots' data into FOLDER (build/bench).\n"
	"\n"
	"  --rows      only these rows\n"
	"  --rounds    phases per figure, 5 to 100 (15)\n"
	"  --sessions  leaves out larger worlds (10000000)\n"
	"  --memory    for the tables, without hugepages (what the rows need)\n"
	"  --huge      hugepages, which the operator has reserved\n"
	"\n"
	"pcap writes a capture file of valid pings, for pktgen and other replay tools: bench/pktgen/README.md.\n"
	"live keeps so many sessions for so long, in real time, with a heartbeat each every INTERVAL (30) seconds; 0 seconds: only what\n"
	"a heartbeat costs then. About 200 bytes of memory a session.\n";

/* Without reserved hugepages the tables lie in memory of our own that the kernel is asked to back with transparent ones:
 * EAL's is a shared mapping, where it does not. EAL keeps a little. */
#define EAL_MB 256ul
#define EAL_BYTES_PER_SESSION 6

static int
heap_make(unsigned long memory_mb)
{
	size_t page = 2u << 20, size = RTE_ALIGN_CEIL(memory_mb << 20, page);
	uint8_t *at = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		fail("no %lu MB of memory; see --memory", memory_mb);
	at = RTE_PTR_ALIGN_CEIL(at, page);
	(void)madvise(at, size, MADV_HUGEPAGE);
	if (rte_malloc_heap_create("bench") != 0 || rte_malloc_heap_memory_add("bench", at, size, NULL, 0, page) != 0)
		fail("a heap of %lu MB: %s", memory_mb, rte_strerror(rte_errno));
	return rte_malloc_heap_get_socket("bench");
}

static void
eal_start(unsigned long memory_mb, bool huge, uint32_t sessions)
{
	char own_mb[16];
	char *argv[] = {"rookbench", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", "-l", "0",
			huge ? "--in-memory" : "--no-huge", "-m", own_mb, NULL};

	snprintf(own_mb, sizeof(own_mb), "%lu", EAL_MB + (uint64_t)sessions * EAL_BYTES_PER_SESSION / 1000000);

	/* hugepages come as they are needed */
	if (huge)
		argv[8] = NULL;
	if (rte_eal_init(huge ? 8 : 10, argv) < 0)
		fail("EAL did not start; with --huge, are hugepages reserved?");
	options.memory = huge ? SOCKET_ID_ANY : heap_make(memory_mb);
	if (aead_init() != 0)
		fail("the cipher library did not start");
}

#define BYTES_PER_SESSION 640 /* with user, verdict and activity */
#define BYTES_PER_LIVE_SESSION 192 /* with user */
#define OTHER_MB 640ul         /* packets, records, keys */

static unsigned long
available_mb(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kib / 1024;
}

/* As much as the largest world takes; if the machine has it not, the largest one is left out. */
static unsigned long
memory_wanted(void)
{
	if (!scale_wanted() || available_mb() < OTHER_MB + (uint64_t)SCALE_SESSIONS * BYTES_PER_SESSION * 5 / 4 / 1000000)
		options.sessions_max = RTE_MIN(options.sessions_max, ROW_SESSIONS);
	return OTHER_MB + (uint64_t)options.sessions_max * BYTES_PER_SESSION / 1000000;
}

struct command {
	enum { COMMAND_ROWS, COMMAND_PCAP, COMMAND_LIVE } kind;
	uint32_t sessions;
	const char *file, *mac;     /* pcap */
	unsigned seconds, interval; /* live */
};

static bool
command_read(struct command *c, char **words, int n)
{
	if (n == 0)
		return true;
	if (n == 4 && strcmp(words[0], "pcap") == 0) {
		*c = (struct command){.kind = COMMAND_PCAP, .file = words[1], .mac = words[2]};
		c->sessions = (uint32_t)strtoul(words[3], NULL, 10);
		return c->sessions != 0;
	}
	if ((n == 3 || n == 4) && strcmp(words[0], "live") == 0) {
		*c = (struct command){.kind = COMMAND_LIVE, .sessions = (uint32_t)strtoul(words[1], NULL, 10), .interval = 30};
		c->seconds = (unsigned)strtoul(words[2], NULL, 10);
		if (n == 4)
			c->interval = (unsigned)strtoul(words[3], NULL, 10);
		return c->sessions != 0 && c->interval != 0;
	}
	return false;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"rows", required_argument, NULL, 'r'},   {"rounds", required_argument, NULL, 'n'}, {"sessions", required_argument, NULL, 's'},
		{"memory", required_argument, NULL, 'm'}, {"dir", required_argument, NULL, 'd'},    {"huge", no_argument, NULL, 'H'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	unsigned long memory = 0;
	struct command command = {.kind = COMMAND_ROWS};
	bool huge = false;
	int c;

	options = (struct options){.rounds = 15, .sessions_max = SCALE_SESSIONS, .dir = "build/bench"};
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (c == 'r')
			options.only = optarg;
		else if (c == 'n')
			options.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 's')
			options.sessions_max = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			memory = strtoul(optarg, NULL, 10);
		else if (c == 'd')
			options.dir = optarg;
		else if (c == 'H')
			huge = true;
		else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (!command_read(&command, argv + optind, argc - optind)) {
		fputs(usage, stderr);
		return 2;
	}
	if (options.rounds < 1 || options.rounds >= ROUNDS_MAX)
		fail("--rounds %u: 1 to %d", options.rounds, ROUNDS_MAX - 1);
	log_open("rookbench", LOG_LEVEL_WARNING);
	(void)mkdir(options.dir, 0777);
	if (memory == 0)
		memory = command.kind == COMMAND_LIVE ? OTHER_MB + (uint64_t)command.sessions * BYTES_PER_LIVE_SESSION / 1000000 :
							memory_wanted();
	eal_start(memory, huge, command.kind == COMMAND_ROWS ? options.sessions_max : command.sessions);
	if (command.kind == COMMAND_PCAP) {
		pcap_write(command.file, command.mac, command.sessions);
		return 0;
	}
	if (command.kind == COMMAND_LIVE) {
		live_run(command.sessions, command.seconds, command.interval);
		return 0;
	}
	reference_init();
	printf("TSC %.2f GHz, %s pages, %u rounds of %u packets\n", (double)rte_get_tsc_hz() / 1e9,
	       rte_eal_has_hugepages() ? "huge" : "transparent huge", options.rounds, PHASE);
	rows_timers();
	rows_relay();
	rows_flood();
	rows_resume();
	rows_workers();
	rows_scale();
	rows_children();
	return report_write() == 0 ? 0 : 1;
}
