/* SPDX-License-Identifier: BSD-3-Clause */
/* The swarm's checker must find what it looks for: right logs, and each way in which they can be wrong. */
#include "swarm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENTS SWARM_MIN

/* Logs of u0, who sends to u1, and of u1; the other clients did nothing. */
struct logs {
	const char *sender, *recipient;
};

static struct swarm_result
check(const struct logs *l)
{
	char dir[] = "/tmp/rk-swarm-check.XXXXXX", path[64];
	struct swarm_result r;

	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < CLIENTS; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/u%u.log", dir, i);
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(i == 0 ? l->sender : i == 1 ? l->recipient : "1 B\n2 L\n", f);
		fclose(f);
	}
	assert_int_equal(swarm_check(dir, CLIENTS, &r, NULL), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		snprintf(path, sizeof(path), "%s/u%u.log", dir, i);
		unlink(path);
	}
	rmdir(dir);
	return r;
}

/* Three texts: delivered, stored, refused. */
#define SENDER                                                                                      \
	"1 B\n2 L\n"                                                                                \
	"10 T 1 u1\n11 K 1 1\n12 S 1 d-1 u1\n13 R 1 d-1 accepted u1\n30 R 1 d-1 delivered u1\n"   \
	"14 T 2 u1\n15 K 2 2\n16 S 2 d-2 u1\n31 R 2 d-2 stored u1\n"                               \
	"17 T 3 u1\n18 K 3 3\n19 S 3 d-3 u1\n32 F 3 d-3 blocked u1\n"
#define RECIPIENT "1 B\n2 L\n20 M d-1 u0 1 0\n40 M d-2 u0 2 0\n"

static const struct logs right = {SENDER, RECIPIENT};

static void
test_right(void **state)
{
	struct swarm_result r = check(&right);

	(void)state;
	assert_true(swarm_promises_kept(&r));
	assert_int_equal(r.sent, 3);
	assert_int_equal(r.delivered, 1);
	assert_int_equal(r.stored, 1);
	assert_int_equal(r.refused, 1);
	assert_int_equal(r.unanswered, 0);
	assert_int_equal(r.shown, 2);
	assert_int_equal(r.lives, CLIENTS);
	assert_int_equal(r.logins, CLIENTS);
}

/* What is no fault: without an answer anything may happen, also in a crash between T and K, and after one the last text may be shown again if
 * it is marked. */
static void
test_allowed(void **state)
{
	static const struct logs unanswered = {"1 B\n10 T 1 u1\n11 K 1 1\n12 S 1 d-1 u1\n13 R 1 d-1 accepted u1\n", "1 B\n"};
	static const struct logs not_taken = {"1 B\n10 T 1 u1\n50 B\n51 T 2 u1\n52 K 2 1\n53 S 1 d-1 u1\n54 R 1 d-1 delivered u1\n",
					      "1 B\n53 M d-1 u0 2 0\n"};
	static const struct logs taken_unlogged = {
		"1 B\n10 T 1 u1\n50 B\n51 T 2 u1\n52 K 2 2\n53 S 2 d-2 u1\n54 R 1 d-1 stored u1\n55 R 2 d-2 stored u1\n",
		"1 B\n60 M d-1 u0 1 0\n61 M d-2 u0 2 0\n"};
	static const struct logs again = {SENDER, "1 B\n20 M d-1 u0 1 0\n30 B\n31 M d-1 u0 1 1\n40 M d-2 u0 2 0\n"};
	struct swarm_result r = check(&unanswered);

	(void)state;
	assert_true(swarm_promises_kept(&r));
	assert_int_equal(r.unanswered, 1);
	r = check(&not_taken);
	assert_true(swarm_promises_kept(&r));
	assert_int_equal(r.sent, 1);
	r = check(&taken_unlogged);
	assert_true(swarm_promises_kept(&r));
	assert_int_equal(r.sent, 2);
	r = check(&again);
	assert_true(swarm_promises_kept(&r));
	assert_int_equal(r.redelivered, 1);
}

static void
test_broken(void **state)
{
	static const struct {
		const char *what;
		struct logs logs;
		size_t counter; /* which alone must be 1 */
	} cases[] = {
#define COUNTER(name) offsetof(struct swarm_result, name)
		{"a delivered one is lost", {SENDER, "1 B\n40 M d-2 u0 2 0\n"}, COUNTER(lost)},
		{"a stored one is lost", {SENDER, "1 B\n20 M d-1 u0 1 0\n"}, COUNTER(lost)},
		{"lost though its K was", {"1 B\n10 T 1 u1\n50 B\n54 R 1 d-1 stored u1\n", "1 B\n"}, COUNTER(lost)},
		{"shown twice", {SENDER, RECIPIENT "41 M d-2 u0 2 0\n"}, COUNTER(twice)},
		{"shown twice in one life, marked", {SENDER, RECIPIENT "41 M d-2 u0 2 1\n"}, COUNTER(twice)},
		{"shown twice in two lives, not marked", {SENDER, RECIPIENT "41 B\n42 M d-2 u0 2 0\n"}, COUNTER(twice)},
		{"shown again, but was not the last", {SENDER, RECIPIENT "41 B\n42 M d-1 u0 1 1\n"}, COUNTER(twice)},
		{"shown again twice after one kill", {SENDER, RECIPIENT "41 B\n42 M d-2 u0 2 1\n43 M d-2 u0 2 1\n"}, COUNTER(twice)},
		{"out of order", {SENDER, "1 B\n20 M d-2 u0 2 0\n21 M d-1 u0 1 0\n"}, COUNTER(disorder)},
		{"told delivered too early", {SENDER, "1 B\n35 M d-1 u0 1 0\n40 M d-2 u0 2 0\n"}, COUNTER(early)},
		{"refused and shown", {SENDER, RECIPIENT "41 M d-3 u0 3 0\n"}, COUNTER(changed)},
		{"delivered and refused", {SENDER "33 F 1 d-1 blocked u1\n", RECIPIENT}, COUNTER(changed)},
		{"never sent", {SENDER, RECIPIENT "41 M d-4 u0 4 0\n"}, COUNTER(invented)},
		{"another's id", {SENDER, "1 B\n20 M d-1 u0 1 0\n40 M d-2 u0 2 0\n41 M x-3 u0 3 0\n"}, COUNTER(invented)},
		{"from somebody who never wrote", {SENDER, RECIPIENT "41 M d-1 u2 1 0\n"}, COUNTER(invented)},
		{"a receipt for nothing", {SENDER "33 R 9 d-9 stored u1\n", RECIPIENT}, COUNTER(malformed)},
		{"a level that falls out of the sky", {SENDER "33 R 1 d-1 read u1\n", RECIPIENT}, COUNTER(malformed)},
		{"no line", {SENDER "garbage\n", RECIPIENT}, COUNTER(malformed)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const size_t all[] = {COUNTER(lost),    COUNTER(twice),	 COUNTER(disorder), COUNTER(early),
					     COUNTER(changed), COUNTER(invented), COUNTER(malformed)};
		struct swarm_result r = check(&cases[i].logs);

		for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
			uint64_t is = *(const uint64_t *)((const char *)&r + all[k]);

			/* A bad line is met in both passes. */
			if ((is != 0) != (all[k] == cases[i].counter))
				fail_msg("%s: counter %zu is %llu", cases[i].what, k, (unsigned long long)is);
		}
		assert_false(swarm_promises_kept(&r));
	}
}

static void
test_missing_log(void **state)
{
	struct swarm_result r;

	(void)state;
	assert_true(swarm_check("/nonexistent", CLIENTS, &r, NULL) < 0);
}

static void
test_partners(void **state)
{
	(void)state;
	for (unsigned n = SWARM_MIN; n < 40; n++) {
		for (unsigned i = 0; i < n; i++) {
			for (unsigned k = 0; k < SWARM_PARTNERS; k++) {
				unsigned p = swarm_partner(i, n, k);

				assert_true(p < n && p != i);
				assert_int_equal(swarm_partner(p, n, k ^ 1), i);
				for (unsigned other = 0; other < k; other++)
					assert_int_not_equal(swarm_partner(i, n, other), p);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),	    cmocka_unit_test(test_allowed),  cmocka_unit_test(test_broken),
		cmocka_unit_test(test_missing_log), cmocka_unit_test(test_partners),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
