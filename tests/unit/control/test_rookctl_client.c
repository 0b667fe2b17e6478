/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl's connection, against servers that are missing or speak something else. */
#include "control/admin_protocol.h"
#include "control/cli/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct canned {
	char dir[32];
	char path[64];
	pid_t pid;
};

/* A process that accepts one connection, says greeting, reads one request if reply is given, says reply, and
 * ends. */
static void
serve(struct canned *s, const char *greeting, const char *reply)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(s->dir, "/tmp/test_rookctl.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/control.sock", s->dir);
	strcpy(address.sun_path, s->path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	s->pid = fork();
	if (s->pid == 0) {
		char request[4096];
		int peer = accept(fd, NULL, NULL);
		send(peer, greeting, strlen(greeting), MSG_NOSIGNAL);
		if (reply && recv(peer, request, sizeof(request), 0) > 0)
			send(peer, reply, strlen(reply), MSG_NOSIGNAL);
		_exit(0);
	}
	close(fd);
}

static void
end(struct canned *s)
{
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	rmdir(s->dir);
}

#define GREETING "{\"api\":1,\"program\":\"rookery-control\",\"version\":\"0.1.0\"}\n"

static void
test_call(void **state)
{
	(void)state;
	struct canned s;
	struct client c;
	char error[256];
	json_t *reply;
	serve(&s, GREETING, "{\"id\":1,\"ok\":true,\"result\":{\"n\":5}}\n");
	assert_int_equal(client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error)), 0);
	assert_int_equal(client_call(&c, "status", NULL, &reply, error, sizeof(error)), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "result"), "n")), 5);
	json_decref(reply);
	/* it has gone now */
	int r = client_call(&c, "status", NULL, &reply, error, sizeof(error));
	assert_true(r == -ECONNRESET || r == -EPIPE);
	client_close(&c);
	end(&s);
}

static void
test_other_servers(void **state)
{
	(void)state;
	static const struct {
		const char *greeting;
		int result;
		const char *text;
	} cases[] = {
		{"{\"api\":2,\"program\":\"rookery-control\",\"version\":\"9.0\"}\n", -EPROTONOSUPPORT,
		 "version 9.0) speaks admin API 2"},
		{"{\"api\":1,\"program\":\"other\",\"version\":\"1\"}\n", -EPROTO, "is not rookery-control"},
		{"{}\n", -EPROTO, "is not rookery-control"},
		{"220 mail.example.org ESMTP\n", -EPROTO, "is not a Rookery server"},
		{"", -ECONNRESET, "it was closed"},
		{"{\"id\":null,\"ok\":false,\"error\":{\"code\":\"busy\",\"text\":\"too many\"}}\n", -EBUSY,
		 "too many"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct canned s;
		struct client c;
		char error[256] = "";
		serve(&s, cases[i].greeting, NULL);
		int r = client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error));
		client_close(&c);
		end(&s);
		if (r != cases[i].result || !strstr(error, cases[i].text))
			fail_msg("%zu: %d, %s", i, r, error);
	}
}

static void
test_wrong_replies(void **state)
{
	(void)state;
	static const char *const replies[] = {"{\"id\":2,\"ok\":true,\"result\":{}}\n", "{\"id\":1}\n",
					      "[]\n", "x\n"};
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct canned s;
		struct client c;
		char error[256];
		json_t *reply;
		serve(&s, GREETING, replies[i]);
		assert_int_equal(client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error)), 0);
		assert_int_equal(client_call(&c, "status", json_object(), &reply, error, sizeof(error)),
				 -EPROTO);
		client_close(&c);
		end(&s);
	}
}

static void
test_no_server(void **state)
{
	(void)state;
	struct canned s;
	struct client c;
	char error[512], longer[256];
	serve(&s, GREETING, NULL);
	assert_int_equal(client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error)), 0);
	client_close(&c);
	waitpid(s.pid, NULL, 0);
	/* the socket is left, nobody listens */
	assert_int_equal(client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error)), -ECONNREFUSED);
	assert_non_null(strstr(error, "is `rookery run` running with this --state?"));
	client_close(&c);
	unlink(s.path);
	assert_int_equal(client_open(&c, s.path, ADMIN_CONTROL, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, s.path));
	client_close(&c);
	rmdir(s.dir);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(client_open(&c, longer, ADMIN_CONTROL, error, sizeof(error)), -ENAMETOOLONG);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_other_servers),
		cmocka_unit_test(test_wrong_replies),
		cmocka_unit_test(test_no_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
