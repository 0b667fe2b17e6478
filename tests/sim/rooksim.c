/* SPDX-License-Identifier: BSD-3-Clause */
/* rooksim: runs seeds of the simulation. See docs in sim.h. */
#include "sim.h"

#include "shared/aead.h"
#include "shared/handshake.h"
#include "shared/plant.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct arguments {
	uint64_t start, seeds;
	const char *profile;
	bool trace, packets, stop, twice, quiet;
};

static void
usage(FILE *out)
{
	fputs("usage: rooksim [--seeds N] [--start SEED] [--profile NAME] [--trace] [--packets] [--twice] [--stop-on-fail] [--quiet]\n"
	      "Runs the whole of Rookery in virtual time, with everything that can go wrong chosen by a seed.\n"
	      "\n"
	      "  --seeds N        so many seeds, one after the other (100)\n"
	      "  --start SEED     from this one on (1)\n"
	      "  --profile NAME   what goes wrong:",
	      out);
	for (unsigned i = 0; profile_name(i) != NULL; i++)
		fprintf(out, " %s", profile_name(i));
	fputs("; without it the seed chooses\n"
	      "  --trace          print the timeline\n"
	      "  --packets        print every datagram as well\n"
	      "  --twice          run each seed twice and compare the two timelines\n"
	      "  --stop-on-fail   stop at the first seed that fails\n"
	      "  --quiet          print failures and the sum only\n"
	      "  --plant NAME     with a deliberate mistake (a build with -Dplanted=true; 'list' lists them)\n"
	      "\n"
	      "Leaves with 0 if no seed failed, otherwise with 1. A failing seed is replayed with --start SEED --seeds 1 --trace.\n",
	      out);
}

#ifdef ROOKERY_PLANTED
enum plant planted;

#define PLANT_NAME(name, text) #name,
#define PLANT_TEXT(name, text) text,
static const char *const plant_names[] = {"none", PLANTS(PLANT_NAME)};
static const char *const plant_texts[] = {"", PLANTS(PLANT_TEXT)};

static bool
plant(const char *name)
{
	for (unsigned i = 0; i < sizeof(plant_names) / sizeof(plant_names[0]); i++)
		if (strcmp(plant_names[i], name) == 0) {
			planted = (enum plant)i;
			return true;
		}
	for (unsigned i = 1; i < sizeof(plant_names) / sizeof(plant_names[0]); i++)
		printf("%s %s\n", plant_names[i], plant_texts[i]);
	return false;
}
#else
static bool
plant(const char *name)
{
	fprintf(stderr, "rooksim: --plant %s: this is no build with -Dplanted=true\n", name);
	return false;
}
#endif

/* Returns 0 to go on, or an exit status + 1. */
static int
arguments_read(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"seeds", required_argument, NULL, 'n'},   {"start", required_argument, NULL, 's'},
		{"profile", required_argument, NULL, 'p'}, {"trace", no_argument, NULL, 't'},
		{"packets", no_argument, NULL, 'P'},	   {"twice", no_argument, NULL, '2'},
		{"stop-on-fail", no_argument, NULL, 'f'},  {"quiet", no_argument, NULL, 'q'},
		{"plant", required_argument, NULL, 'b'},   {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*a = (struct arguments){.start = 1, .seeds = 100};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			a->seeds = strtoull(optarg, NULL, 0);
			break;
		case 's':
			a->start = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			a->profile = optarg;
			break;
		case 't':
			a->trace = true;
			break;
		case 'P':
			a->packets = true;
			break;
		case '2':
			a->twice = true;
			break;
		case 'f':
			a->stop = true;
			break;
		case 'q':
			a->quiet = true;
			break;
		case 'b':
			if (!plant(optarg))
				return 1 + 2;
			break;
		case 'h':
			usage(stdout);
			return 1 + EXIT_SUCCESS;
		default:
			usage(stderr);
			return 1 + 2;
		}
	}
	return 0;
}

/* ---- how soon ------------------------------------------------------------------------------ */

/* Of each seed that did not fail: the longest wait of a text, and the time until everything had settled. */
struct soon {
	uint64_t *wait_us, *settle_us;
	uint64_t count, capacity;
	uint64_t waits[WAIT_BUCKETS]; /* texts */
};

static void
soon_add(struct soon *t, const struct sim_result *r)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity == 0 ? 1024 : t->capacity * 2;
		t->wait_us = realloc(t->wait_us, t->capacity * sizeof(uint64_t));
		t->settle_us = realloc(t->settle_us, t->capacity * sizeof(uint64_t));
		if (t->wait_us == NULL || t->settle_us == NULL)
			abort();
	}
	t->wait_us[t->count] = r->wait_us;
	t->settle_us[t->count++] = r->settle_us;
	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		t->waits[i] += r->waits[i];
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
soon_line(const char *what, uint64_t *us, uint64_t count)
{
	qsort(us, count, sizeof(*us), by_size);
	printf("%s: p50 %.1f s, p99 %.1f s, max %.1f s over %llu seeds\n", what, (double)us[count / 2] / 1e6,
	       (double)us[count - 1 - count / 100] / 1e6, (double)us[count - 1] / 1e6, (unsigned long long)count);
}

static double
soon_percentile(const struct soon *t, uint64_t texts, double share)
{
	uint64_t below = 0;
	unsigned i = 0;

	while (i < WAIT_BUCKETS - 1 && (double)(below += t->waits[i]) < share * (double)texts)
		i++;
	return (double)(i * WAIT_BUCKET_US) / 1e6;
}

static void
soon_print(struct soon *t, const char *where)
{
	uint64_t texts = 0;

	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		texts += t->waits[i];
	if (t->count != 0 && texts != 0) {
		printf("confirmed texts after the last fault%s: %llu copies, %llu of them shown later; p99 %.1f s, p99.9 %.1f s\n",
		       where, (unsigned long long)texts, (unsigned long long)(texts - t->waits[0]), soon_percentile(t, texts, 0.99),
		       soon_percentile(t, texts, 0.999));
		soon_line("    the slowest of each seed", t->wait_us, t->count);
		soon_line("    all settled after the healing", t->settle_us, t->count);
	}
	free(t->wait_us);
	free(t->settle_us);
}

static struct soon soon[2]; /* with usual tables, with the least */

static bool
seed_run(const struct arguments *a, uint64_t seed, struct sim_result *total)
{
	struct sim_result r, again;

	sim_run(seed, a->profile, a->trace, a->packets, &r);
	if (a->twice && !r.failed) {
		sim_run(seed, a->profile, false, false, &again);
		if (again.hash != r.hash) {
			r.failed = true;
			snprintf(r.reason, sizeof(r.reason), "not deterministic: %016llx and %016llx", (unsigned long long)r.hash,
				 (unsigned long long)again.hash);
		}
	}
	if (!r.failed)
		soon_add(&soon[r.least], &r);
	total->steps += r.steps;
	total->datagrams += r.datagrams;
	total->texts += r.texts;
	total->both += r.both;
	total->resumes += r.resumes;
	total->virtual_us += r.virtual_us;
	if (r.failed || !a->quiet)
		printf("seed %llu %s: %s%s%s hash %016llx, %llu steps, %llu datagrams, %llu texts, %llu s\n", (unsigned long long)seed,
		       r.profile, r.failed ? "FAILED: " : "ok", r.reason, r.failed ? ";" : ",", (unsigned long long)r.hash,
		       (unsigned long long)r.steps, (unsigned long long)r.datagrams, (unsigned long long)r.texts,
		       (unsigned long long)(r.virtual_us / SECOND_US));
	if (r.failed)
		printf("    replay: rooksim --start %llu --seeds 1%s%s --trace\n", (unsigned long long)seed,
		       a->profile != NULL ? " --profile " : "", a->profile != NULL ? a->profile : "");
	fflush(stdout);
	return !r.failed;
}

static bool
profile_known(const char *name)
{
	for (unsigned i = 0; profile_name(i) != NULL; i++)
		if (strcmp(profile_name(i), name) == 0)
			return true;
	return false;
}

/* A process that is killed in the simulation leaves its memory behind: no leaks of ours. */
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return 1;
}

int
main(int argc, char **argv)
{
	struct sim_result total = {0};
	struct arguments a;
	uint64_t failed = 0, n;
	struct timespec begin, end;
	int rc = arguments_read(argc, argv, &a);

	if (rc != 0)
		return rc - 1;
	if (a.profile != NULL && !profile_known(a.profile)) {
		fprintf(stderr, "rooksim: no profile '%s'\n", a.profile);
		return 2;
	}
	if (random_bytes_install() < 0 || handshake_init() < 0 || aead_init() < 0 || dataplane_environment() < 0) {
		fputs("rooksim: cannot start\n", stderr);
		return EXIT_FAILURE;
	}
	if (a.trace || a.packets)
		setvbuf(stdout, NULL, _IOLBF, 0); /* the timeline up to a crash */
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (n = 0; n < a.seeds; n++) {
		if (seed_run(&a, a.start + n, &total))
			continue;
		failed++;
		if (a.stop) {
			n++;
			break;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu seeds, %llu failed; %llu steps, %llu datagrams, %llu texts, %llu sessions resumed, %llu s of virtual time in %.1f s\n",
	       (unsigned long long)n, (unsigned long long)failed, (unsigned long long)total.steps, (unsigned long long)total.datagrams,
	       (unsigned long long)total.texts, (unsigned long long)total.resumes, (unsigned long long)(total.virtual_us / SECOND_US),
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	if (total.both != 0)
		printf("%llu texts were shown and told to have failed, the exception of docs/simulation.md\n", (unsigned long long)total.both);
	soon_print(&soon[0], "");
	soon_print(&soon[1], ", with the least tables");
	dataplane_environment_end();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
