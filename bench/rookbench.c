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
	"pcap writes a capture file of valid pings, for pktgen and other replay tools: bench/pktgen/README.md.\n";

/* Without reserved hugepages the tables lie in memory of our own that the kernel is asked to back with transparent ones:
 * EAL's is a shared mapping, where it does not. EAL keeps 320 MB, for what rte_hash takes there. */
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
eal_start(unsigned long memory_mb, bool huge)
{
	char *argv[] = {"rookbench", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", "-l", "0",
			huge ? "--in-memory" : "--no-huge", "-m", "320", NULL};

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

static void
rows_absent(void)
{
	row_absent("login_resume", "not built yet: tickets");
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
	uint32_t pcap_sessions = 0;
	bool huge = false, pcap;
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
	pcap = optind < argc && strcmp(argv[optind], "pcap") == 0;
	if (pcap)
		pcap_sessions = argc == optind + 4 ? (uint32_t)strtoul(argv[optind + 3], NULL, 10) : 0;
	if (pcap ? pcap_sessions == 0 : optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (options.rounds < 1 || options.rounds >= ROUNDS_MAX)
		fail("--rounds %u: 1 to %d", options.rounds, ROUNDS_MAX - 1);
	log_open("rookbench", LOG_LEVEL_WARNING);
	(void)mkdir(options.dir, 0777);
	eal_start(memory != 0 ? memory : memory_wanted(), huge);
	if (pcap) {
		pcap_write(argv[optind + 1], argv[optind + 2], pcap_sessions);
		return 0;
	}
	reference_init();
	printf("TSC %.2f GHz, %s pages, %u rounds of %u packets\n", (double)rte_get_tsc_hz() / 1e9,
	       rte_eal_has_hugepages() ? "huge" : "transparent huge", options.rounds, PHASE);
	rows_timers();
	rows_relay();
	rows_flood();
	rows_workers();
	rows_scale();
	rows_children();
	rows_absent();
	return report_write() == 0 ? 0 : 1;
}
