/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include "shared/log.h"

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double
control_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
control_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
io_hash(void *arg, struct password_job *job)
{
	(void)arg;
	(void)job;
	fail("a password where none is needed");
}

static void
io_random(void *arg, void *buf, size_t len)
{
	(void)arg;
	randombytes_buf(buf, len);
}

void
control_open(struct control *c, const char *parent, uint32_t sessions,
	     bool (*send)(void *arg, uint32_t ring, const struct cell *cell), void *arg)
{
	struct server_options o = {.io = {.arg = arg, .send = send, .hash = io_hash, .handshakes = c->handshakes, .random = io_random}};
	char path[300], error[256];

	c->now_ms = 1000000;
	c->wall_ms = UINT64_C(1790000000000);
	if (handshake_init() != 0)
		fail("libsodium did not start");
	handshake_keypair_generate(&c->key);
	snprintf(c->dir, sizeof(c->dir), "%s/control-XXXXXX", parent);
	if (mkdtemp(c->dir) == NULL)
		fail("%s: no folder can be made there", parent);
	if (config_load(&c->config, NULL, c->dir, error, sizeof(error)) != 0)
		fail("%s", error);
	/* Everybody comes from one address here. */
	c->config->control.logins_per_second = 100000;
	snprintf(path, sizeof(path), "%s/rookery.db", c->dir);
	if (store_open(&c->store, path, error, sizeof(error)) != 0)
		fail("%s", error);
	o.key = c->key;
	o.config = c->config;
	o.store = c->store;
	o.now_ms = c->now_ms;
	o.wall_ms = c->wall_ms;
	if (server_new(&c->server, &o) != 0 || server_attach(c->server, 1, 1, sessions) != 0)
		fail("the server did not start");
}

static void
files_remove(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	(void)rmdir(dir);
}

void
control_close(struct control *c)
{
	server_free(c->server);
	store_close(c->store);
	config_free(c->config);
	files_remove(c->dir);
}

void
control_enrol(struct control *c, uint32_t number, const uint8_t key[32])
{
	struct store_user u = {.hash = "!", .created_ms = c->wall_ms};
	struct store_device d = {.name = "bench"};

	snprintf(u.name, sizeof(u.name), "user%u", number);
	memcpy(d.key, key, sizeof(d.key));
	if (store_user_add(c->store, &u) != 0)
		fail("%s", store_error(c->store));
	d.user = u.id;
	if (store_device_add(c->store, &d) != 0)
		fail("%s", store_error(c->store));
	if (u.id != number + 1 || d.id != number + 1)
		fail("user%u has another id", number);
}

void
control_begin(struct control *c)
{
	if (store_begin(c->store) != 0)
		fail("%s", store_error(c->store));
}

void
control_commit(struct control *c)
{
	if (store_commit(c->store) != 0)
		fail("%s", store_error(c->store));
}

void
control_pass(struct control *c, uint64_t ms)
{
	c->now_ms += ms;
	c->wall_ms += ms;
	server_set_time(c->server, c->now_ms, c->wall_ms);
	server_timers(c->server);
}
