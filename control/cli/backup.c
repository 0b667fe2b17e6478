/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rookctl backup and restore: the database and the server's key. rookctl reads and writes the files itself, so that
 * control needs no right to write elsewhere, and a copy of a large database holds up nothing.
 */
#include "control/cli/commands.h"
#include "control/cli/client.h"
#include "control/cli/database.h"

#include "control/launcher/lock.h"
#include "shared/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX 4096

struct place {
	char dir[PATH_MAX];
	char database[PATH_MAX + 32], key[PATH_MAX + 32];
};

static int
place_set(struct place *p, const char *dir)
{
	if (snprintf(p->dir, sizeof(p->dir), "%s", dir) >= (int)sizeof(p->dir))
		return cli_fail(CLI_USAGE, "the path of the state directory is too long");
	snprintf(p->database, sizeof(p->database), "%s/rookery.db", dir);
	snprintf(p->key, sizeof(p->key), "%s/server.key", dir);
	return CLI_OK;
}

static int
place_of_config(const struct cli *cli, struct place *p)
{
	char error[512];
	struct config *config;
	if (config_load(&config, cli->config, cli->state, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	int r = place_set(p, config->state_dir);
	config_free(config);
	return r;
}

/* Where a running server has its files; otherwise where the configuration says. */
static int
place_find(struct cli *cli, struct place *p)
{
	json_t *status = cli_call_quietly(cli, "status", NULL);
	const char *dir = text_of(status, "state_dir");
	int r = *dir ? place_set(p, dir) : place_of_config(cli, p);
	json_decref(status);
	return r;
}

/* ---- small files ------------------------------------------------------------------------ */

/* The whole of a small file. Returns its length or -errno. */
static ssize_t
slurp(const char *path, char buf[KEY_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, KEY_MAX);
	ssize_t r = n < 0 ? -errno : n;
	if (fd >= 0)
		close(fd);
	return r;
}

/* Beside path and then into its place; 0600, on disk. owner: NULL, or whose it is to be. */
static int
put(const char *path, const char *data, size_t len, const struct stat *owner)
{
	char temporary[PATH_MAX + 64];
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	unlink(temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	bool done = write(fd, data, len) == (ssize_t)len && fsync(fd) == 0 &&
		    (!owner || fchown(fd, owner->st_uid, owner->st_gid) == 0);
	int r = done ? 0 : -(errno ? errno : ENOSPC);
	close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

static void
flush_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static void
flush_dir_of(const char *path)
{
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	flush_dir(slash ? dir : ".");
}

static int
show_result(struct cli *cli, const char *path, const struct database_info *info, const char *key, const char *done)
{
	if (cli->json)
		return print_json(cli, json_pack("{s:s, s:I, s:I, s:I, s:i, s:s?}", "file", path, "bytes",
						 (json_int_t)info->bytes, "users", (json_int_t)info->users,
						 "messages", (json_int_t)info->messages, "schema", info->schema,
						 "key", key));
	fprintf(cli->out, "%s %s: %llu bytes, %llu users, %llu waiting messages, checked\n", path, done,
		(unsigned long long)info->bytes, (unsigned long long)info->users,
		(unsigned long long)info->messages);
	return CLI_OK;
}

/* ---- backup ------------------------------------------------------------------------------ */

static bool
same_file(const char *a, const char *b)
{
	struct stat x, y;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int
run_backup(struct cli *cli)
{
	const char *path = cli->args[0];
	char partial[PATH_MAX + 16], key_path[PATH_MAX + 16], key[KEY_MAX], error[PATH_MAX + 256];
	struct database_info info;
	struct place p;
	int status = place_find(cli, &p);
	if (status != CLI_OK)
		return status;
	if (strlen(path) >= PATH_MAX)
		return cli_fail(CLI_USAGE, "the path is too long");
	if (same_file(path, p.database))
		return cli_fail(CLI_USAGE, "%s is the database itself", path);
	if (access(path, F_OK) == 0 && !cli_value(cli, "force"))
		return cli_fail(CLI_REFUSED, "%s is there already; --force replaces it", path);
	snprintf(partial, sizeof(partial), "%s.partial", path);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	unlink(partial); /* of one that was interrupted */
	if (database_copy(p.database, partial, false, &info, error, sizeof(error)) < 0)
		return cli_fail(CLI_REFUSED, "%s", error);
	ssize_t len = slurp(p.key, key);
	int r = len < 0 ? (int)len : put(key_path, key, (size_t)len, NULL);
	explicit_bzero(key, sizeof(key));
	if (r < 0) {
		unlink(partial);
		return cli_fail(CLI_REFUSED, "%s: %s", len < 0 ? p.key : key_path, strerror(-r));
	}
	if (rename(partial, path) < 0) {
		r = errno;
		unlink(partial);
		return cli_fail(CLI_REFUSED, "%s: %s", path, strerror(r));
	}
	flush_dir_of(path);
	return show_result(cli, path, &info, key_path, "written");
}

/* ---- restore ----------------------------------------------------------------------------- */

/* Nobody may use the files; the launcher's lock keeps it so until we are done. */
static int
server_stopped(struct cli *cli, const struct place *p, struct lock *lock)
{
	char path[PATH_MAX + 32];
	pid_t holder;
	json_t *status = cli_call_quietly(cli, "status", NULL);
	bool same = status && same_file(text_of(status, "state_dir"), p->dir);
	json_decref(status);
	client_close(cli->client);
	snprintf(path, sizeof(path), "%s/rookery.lock", p->dir);
	int r = lock_take(lock, path, &holder);
	if (same || r == -EWOULDBLOCK)
		return cli_fail(CLI_REFUSED, "the server runs%s: stop it first", same ? "" : " or is being started");
	return r < 0 ? cli_fail(CLI_REFUSED, "%s: %s", path, strerror(-r)) : CLI_OK;
}

/* The present database, with its log, under another name: nothing is lost by a restore. */
static int
put_aside(const struct place *p)
{
	static const char *const parts[] = {"-wal", ""};
	char from[PATH_MAX + 64], to[PATH_MAX + 64];
	snprintf(from, sizeof(from), "%s-shm", p->database);
	unlink(from); /* made from the log when it is needed */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(from, sizeof(from), "%s%s", p->database, parts[i]);
		snprintf(to, sizeof(to), "%s.before-restore%s", p->database, parts[i]);
		unlink(to);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* The key of the backup takes the place of another one, which is kept. */
static int
restore_key(const struct place *p, const char *backup, const struct stat *owner)
{
	char key[KEY_MAX], present[KEY_MAX], aside[PATH_MAX + 64];
	ssize_t len = slurp(backup, key), present_len = slurp(p->key, present);
	int r = 0;
	if (len < 0 && len != -ENOENT)
		return cli_fail(CLI_REFUSED, "%s: %s", backup, strerror((int)-len));
	if (len < 0) {
		if (present_len < 0)
			fprintf(stderr, "rookctl: there is no %s: the server will make a new key, and clients "
					"that know the old one will refuse it\n", backup);
		return CLI_OK;
	}
	bool equal = len == present_len && memcmp(key, present, (size_t)len) == 0;
	snprintf(aside, sizeof(aside), "%s.before-restore", p->key);
	if (!equal && present_len >= 0 && rename(p->key, aside) < 0)
		r = -errno;
	if (!equal && r == 0)
		r = put(p->key, key, (size_t)len, owner);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(present, sizeof(present));
	return r < 0 ? cli_fail(CLI_REFUSED, "%s: %s", p->key, strerror(-r)) : CLI_OK;
}

static int
restore_locked(struct cli *cli, const struct place *p)
{
	const char *path = cli->args[0];
	char fresh[PATH_MAX + 64], key_path[PATH_MAX + 16], error[PATH_MAX + 256];
	struct database_info info;
	struct stat dir;
	snprintf(fresh, sizeof(fresh), "%s.restoring", p->database);
	snprintf(key_path, sizeof(key_path), "%s.key", path);
	unlink(fresh);
	if (database_copy(path, fresh, true, &info, error, sizeof(error)) < 0)
		return cli_fail(CLI_REFUSED, "%s", error);
	/* Root restores for the server's user. */
	bool chown_it = geteuid() == 0 && stat(p->dir, &dir) == 0;
	int r = chown_it && chown(fresh, dir.st_uid, dir.st_gid) < 0 ? -errno : put_aside(p);
	if (r == 0 && rename(fresh, p->database) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return cli_fail(CLI_REFUSED, "%s: %s", p->database, strerror(-r));
	}
	int status = restore_key(p, key_path, chown_it ? &dir : NULL);
	flush_dir(p->dir);
	if (status != CLI_OK)
		return status;
	return show_result(cli, p->database, &info, access(key_path, F_OK) == 0 ? key_path : NULL, "restored");
}

int
run_restore(struct cli *cli)
{
	struct lock lock = LOCK_NONE;
	struct place p;
	int status = place_of_config(cli, &p);
	if (status != CLI_OK)
		return status;
	if (same_file(cli->args[0], p.database))
		return cli_fail(CLI_USAGE, "%s is the database itself", cli->args[0]);
	if (strlen(cli->args[0]) >= PATH_MAX)
		return cli_fail(CLI_USAGE, "the path is too long");
	if (mkdir(p.dir, 0700) < 0 && errno != EEXIST)
		return cli_fail(CLI_REFUSED, "%s: %s", p.dir, strerror(errno));
	status = server_stopped(cli, &p, &lock);
	if (status == CLI_OK)
		status = restore_locked(cli, &p);
	lock_drop(&lock);
	return status;
}
