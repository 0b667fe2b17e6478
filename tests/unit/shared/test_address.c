/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "shared/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
parse_and_format(void **state)
{
	static const struct {
		const char *text, *formatted, *ip;
	} good[] = {
		{"10.0.0.1:8000", "10.0.0.1:8000", "00000000000000000000ffff0a000001"},
		{"10.0.0.1", "10.0.0.1:9", "00000000000000000000ffff0a000001"},
		{"0.0.0.0:0", "0.0.0.0:0", "00000000000000000000ffff00000000"},
		{"255.255.255.255:65535", "255.255.255.255:65535", "00000000000000000000ffffffffffff"},
		{"[fd00::1]:8000", "[fd00::1]:8000", "fd000000000000000000000000000001"},
		{"[fd00::1]", "[fd00::1]:9", "fd000000000000000000000000000001"},
		{"fd00::1", "[fd00::1]:9", "fd000000000000000000000000000001"},
		{"::", "[::]:9", "00000000000000000000000000000000"},
		{"[::1]:00080", "[::1]:80", "00000000000000000000000000000001"},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80", "00000000000000000000ffffc0000201"},
		{"[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
		 "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "20010db8111122223333444455556666"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		char text[ENDPOINT_STRLEN];
		struct endpoint e, again;

		assert_int_equal(endpoint_parse(&e, good[i].text, 9), 0);
		assert_hex(e.ip, sizeof(e.ip), good[i].ip);
		assert_string_equal(endpoint_format(&e, text), good[i].formatted);
		assert_int_equal(endpoint_parse(&again, text, 1), 0);
		assert_true(endpoint_equal(&e, &again));
	}
}

static void
parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		":8000",
		"10.0.0.1:",
		"10.0.0.1:65536",
		"10.0.0.1:-1",
		"10.0.0.1:+1",
		"10.0.0.1: 1",
		"10.0.0.1:1 ",
		"10.0.0.1:123456",
		"10.0.0.1:8x",
		"10.0.0:80",
		"10.0.0.256:80",
		"localhost:80",
		"[::1",
		"[::1]x",
		"[::1]:",
		"[::1]:x",
		"[10.0.0.1]:80",
		"[]:80",
		"::1]:80",
		"fe80::1%eth0",
		"[fe80::1%lo]:1",
		"2001:db8:1111:2222:3333:4444:5555:6666:7777",
		"1111111111111111111111111111111111111111111111111111111111111111:80",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct endpoint e, before;

		memset(&e, 0x55, sizeof(e));
		before = e;
		if (endpoint_parse(&e, bad[i], 9) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(endpoint_equal(&e, &before));
	}
}

static void
sockaddr_round_trip(void **state)
{
	static const char *const texts[] = {"192.0.2.7:40001", "[2001:db8::7]:40001"};
	static const socklen_t lengths[] = {sizeof(struct sockaddr_in), sizeof(struct sockaddr_in6)};
	static const sa_family_t families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct sockaddr_storage ss;
		struct endpoint e, again;

		assert_int_equal(endpoint_parse(&e, texts[i], 0), 0);
		assert_int_equal(endpoint_is_ipv4(&e), i == 0);
		assert_int_equal(endpoint_to_sockaddr(&e, &ss), lengths[i]);
		assert_int_equal(ss.ss_family, families[i]);
		assert_int_equal(endpoint_from_sockaddr(&again, (struct sockaddr *)&ss), 0);
		assert_true(endpoint_equal(&e, &again));
	}
}

/* A dual-stack socket reports IPv4 peers as mapped addresses: the same endpoint. */
static void
mapped_sockaddr_is_ipv4(void **state)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	struct endpoint mapped, plain;

	(void)state;
	hex_decode("00000000000000000000ffffc0000235", sin6.sin6_addr.s6_addr, 16);
	assert_int_equal(endpoint_from_sockaddr(&mapped, (struct sockaddr *)&sin6), 0);
	endpoint_set_ipv4(&plain, "\xc0\x00\x02\x35", 53);
	assert_true(endpoint_equal(&mapped, &plain));
}

static void
other_families_are_refused(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct endpoint e;

	(void)state;
	assert_int_equal(endpoint_from_sockaddr(&e, (struct sockaddr *)&sun), -EAFNOSUPPORT);
}

static void
prefixes(void **state)
{
	static const struct {
		const char *text, *shown;
		unsigned bits;
	} good[] = {
		{"192.0.2.7", "192.0.2.7", 128},          {"192.0.2.7/32", "192.0.2.7", 128},
		{"192.0.2.255/25", "192.0.2.128/25", 121}, {"255.255.255.255/0", "0.0.0.0/0", 96},
		{"2001:db8::1", "2001:db8::1", 128},      {"2001:db8:ffff::/33", "2001:db8:8000::/33", 33},
		{"ffff::/0", "::/0", 0},                  {"::ffff:192.0.2.7", "192.0.2.7", 128},
	};
	static const char *const bad[] = {"", "/8", "192.0.2.7/33", "192.0.2.7/", "192.0.2.7/-1", "192.0.2.7/x", "192.0.2.7:80",
					  "::1/129", "::1/0128", "[::1]", "1.2.3", "a name", "::1/8/8"};
	struct endpoint e;
	struct prefix p;
	char text[PREFIX_STRLEN];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(prefix_parse(&p, good[i].text), 0);
		assert_int_equal(p.bits, good[i].bits);
		assert_string_equal(prefix_format(&p, text), good[i].shown);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix_parse(&p, bad[i]), -EINVAL);
	prefix_parse(&p, "192.0.2.128/25");
	endpoint_parse(&e, "192.0.2.128", 1);
	assert_true(prefix_holds(&p, e.ip));
	endpoint_parse(&e, "192.0.2.127", 1);
	assert_false(prefix_holds(&p, e.ip));
	endpoint_parse(&e, "[::c000:280]", 1);
	assert_false(prefix_holds(&p, e.ip));
	prefix_parse(&p, "::/0");
	assert_true(prefix_holds(&p, e.ip));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_format),           cmocka_unit_test(parse_refuses),
		cmocka_unit_test(sockaddr_round_trip),        cmocka_unit_test(mapped_sockaddr_is_ipv4),
		cmocka_unit_test(other_families_are_refused), cmocka_unit_test(prefixes),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
