/* SPDX-License-Identifier: BSD-3-Clause */
/* Children of a test: start, pipes, end. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV_MAX 64

extern char **environ;

static void *
must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void
append(char **buf, size_t *len, size_t *cap, const char *data, size_t n)
{
	if (*len + n + 1 > *cap) {
		*cap = (*len + n + 1) * 2;
		*buf = must(realloc(*buf, *cap));
	}
	memcpy(*buf + *len, data, n);
	*len += n;
	(*buf)[*len] = '\0';
}

/* The environment of a child: ours, with its own home and the marker. */
static char **
child_environment(const struct world *w, const char *marker)
{
	static const char *const dropped[] = {"HOME=", "XDG_RUNTIME_DIR=", "XDG_STATE_HOME=", "ROOKERY_E2E_RUN="};
	size_t n = 0, out = 0;
	char **env;

	while (environ[n])
		n++;
	env = must(calloc(n + 4, sizeof(*env)));
	for (size_t i = 0; i < n; i++) {
		bool drop = false;

		for (size_t d = 0; d < sizeof(dropped) / sizeof(dropped[0]); d++)
			drop |= strncmp(environ[i], dropped[d], strlen(dropped[d])) == 0;
		if (!drop)
			env[out++] = must(strdup(environ[i]));
	}
	if (asprintf(&env[out++], "HOME=%s/home", w->dir) < 0 ||
	    asprintf(&env[out++], "XDG_RUNTIME_DIR=%s/xdg", w->dir) < 0 ||
	    asprintf(&env[out++], "ROOKERY_E2E_RUN=%s", marker) < 0)
		abort();
	return env;
}

static void
free_strings(char **v)
{
	for (size_t i = 0; v[i]; i++)
		free(v[i]);
	free(v);
}

/* Between fork and exec: system calls only, other threads (proxies) may have held locks. */
static void
child_main(const struct process_options *o, const struct world *w, const int fds[3], int ns, char **argv,
	   char **env)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0)
		_exit(125);
	if (ns >= 0 && setns(ns, CLONE_NEWNET) != 0)
		_exit(125);
	if (w->drop_root && !o->as_root && geteuid() == 0) {
		if (setgroups(0, NULL) != 0 || setgid(WORLD_NOBODY) != 0 || setuid(WORLD_NOBODY) != 0)
			_exit(125);
	}
	/* Changing user clears it, so last. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, ~0u, 0);
	execve(argv[0], argv, env);
	_exit(127);
}

static void
open_pipes(struct process *p, int child[3])
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		abort();
	child[0] = in[0];
	child[1] = out[1];
	child[2] = open(p->stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (child[2] < 0)
		abort();
	p->in = in[1];
	p->out = out[0];
	fcntl(p->in, F_SETFL, O_NONBLOCK);
	fcntl(p->out, F_SETFL, O_NONBLOCK);
}

static const char *
find_program(const struct world *w, const char *name, char *buf, size_t cap)
{
	static const char *const dirs[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	if (strchr(name, '/'))
		return name;
	snprintf(buf, cap, "%s/%s", w->bin, name);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && access(buf, F_OK) != 0; i++)
		snprintf(buf, cap, "%s/%s", dirs[i], name);
	return buf;
}

struct process *
process_start(struct world *w, const struct process_options *o)
{
	struct process *p = must(calloc(1, sizeof(*p)));
	const char *argv[ARGV_MAX];
	char path[PATH_MAX], ip[PATH_MAX], ns_path[128];
	int child[3], ns = -1;
	char **env = child_environment(w, o->marker ? o->marker : w->marker);
	size_t n = 0;

	if (o->netns && o->netns[0]) {
		if (o->ip_exec) {
			argv[n++] = find_program(w, "ip", ip, sizeof(ip));
			argv[n++] = "netns";
			argv[n++] = "exec";
			argv[n++] = o->netns;
		} else {
			snprintf(ns_path, sizeof(ns_path), "/run/netns/%s", o->netns);
			ns = open(ns_path, O_RDONLY | O_CLOEXEC);
			if (ns < 0)
				world_fail(w, "%s: %s", ns_path, strerror(errno));
		}
	}
	argv[n++] = find_program(w, o->argv[0], path, sizeof(path));
	for (size_t i = 1; o->argv[i] && n < ARGV_MAX - 1; i++)
		argv[n++] = o->argv[i];
	argv[n] = NULL;

	p->world = w;
	p->line = o->line;
	p->user = o->user;
	snprintf(p->name, sizeof(p->name), "%s", o->name);
	snprintf(p->stderr_path, sizeof(p->stderr_path), "%s/%s.stderr", w->dir, o->name);
	open_pipes(p, child);
	p->pid = fork();
	if (p->pid < 0)
		abort();
	if (p->pid == 0)
		child_main(o, w, child, ns, (char **)argv, env);
	setpgid(p->pid, p->pid);
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	for (int i = 0; i < 3; i++)
		close(child[i]);
	if (ns >= 0)
		close(ns);
	free_strings(env);
	p->next = w->processes;
	w->processes = p;
	return p;
}

void
process_write(struct process *p, const char *text)
{
	if (getenv("ROOKERY_E2E_TRACE"))
		fprintf(stderr, "%llu.%03llu to %s: %s", (unsigned long long)now_ms() / 1000,
			(unsigned long long)now_ms() % 1000, p->name, text);
	append(&p->input, &p->input_len, &p->input_cap, text, strlen(text));
}

static void
take_output(struct process *p)
{
	char chunk[16384];
	ssize_t n = read(p->out, chunk, sizeof(chunk));
	char *newline;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(p->out);
		p->out = -1;
		return;
	}
	append(&p->output, &p->output_len, &p->output_cap, chunk, (size_t)n);
	while (p->line && (newline = memchr(p->output + p->line_start, '\n', p->output_len - p->line_start))) {
		char *line = must(strndup(p->output + p->line_start,
					  (size_t)(newline - p->output) - p->line_start));

		p->line_start = (size_t)(newline - p->output) + 1;
		if (getenv("ROOKERY_E2E_TRACE"))
			fprintf(stderr, "%llu.%03llu %s: %s\n", (unsigned long long)now_ms() / 1000,
				(unsigned long long)now_ms() % 1000, p->name, line);
		p->line(p, line);
		free(line);
	}
}

static void
give_input(struct process *p)
{
	ssize_t n = write(p->in, p->input, p->input_len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) { /* it does not read any more: its exit tells the rest */
		close(p->in);
		p->in = -1;
		p->input_len = 0;
		return;
	}
	memmove(p->input, p->input + n, p->input_len - (size_t)n);
	p->input_len -= (size_t)n;
}

static void
note_exit(struct process *p)
{
	int status;

	if (waitpid(p->pid, &status, 0) != p->pid)
		return;
	p->exited = true;
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool
world_pump(struct world *w, uint64_t deadline)
{
	struct pollfd fds[3 * 64];
	struct {
		struct process *p;
		void (*act)(struct process *);
	} what[3 * 64];
	uint64_t now = now_ms();
	nfds_t n = 0;

	if (w->fault && !w->failed)
		world_fail(w, "%s", w->fault);
	if (now >= deadline)
		return false;
	for (struct process *p = w->processes; p && n + 3 <= sizeof(fds) / sizeof(fds[0]); p = p->next) {
		if (p->close_input && p->in >= 0 && p->input_len == 0) {
			close(p->in);
			p->in = -1;
		}
		if (p->out >= 0) {
			what[n].p = p;
			what[n].act = take_output;
			fds[n++] = (struct pollfd){.fd = p->out, .events = POLLIN};
		}
		if (p->in >= 0 && p->input_len > 0) {
			what[n].p = p;
			what[n].act = give_input;
			fds[n++] = (struct pollfd){.fd = p->in, .events = POLLOUT};
		}
		if (!p->exited) {
			what[n].p = p;
			what[n].act = note_exit;
			fds[n++] = (struct pollfd){.fd = p->pidfd, .events = POLLIN};
		}
	}
	poll(fds, n, (int)(deadline - now));
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents)
			what[i].act(what[i].p);
	if (w->fault && !w->failed)
		world_fail(w, "%s", w->fault);
	return true;
}

bool
world_poll(struct world *w, uint64_t deadline)
{
	uint64_t soon = now_ms() + 20;

	world_pump(w, soon < deadline ? soon : deadline);
	return now_ms() < deadline;
}

int
process_wait(struct process *p, unsigned seconds)
{
	uint64_t deadline = deadline_in(seconds);

	while (!p->exited || p->out >= 0)
		if (!world_pump(p->world, deadline))
			world_fail(p->world, "%s (pid %d) does not end", p->name, (int)p->pid);
	return p->status;
}

int
process_run(struct world *w, const struct process_options *o, char **output)
{
	struct process *p = process_start(w, o), **at;
	int status;

	p->close_input = true;
	status = process_wait(p, WAIT_EVENT);
	if (output)
		*output = p->output ? must(strdup(p->output)) : must(strdup(""));
	/* A finished command is of no more use; a test may run hundreds of them. */
	for (at = &w->processes; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	close(p->pidfd);
	if (p->in >= 0)
		close(p->in);
	free(p->output);
	free(p->input);
	free(p);
	return status;
}

void
world_tool(struct world *w, const char *const *argv)
{
	struct process_options o = {.name = "tool", .argv = argv, .as_root = true};
	char line[512] = "";
	size_t used = 0;
	int status = process_run(w, &o, NULL);

	if (status == 0)
		return;
	for (size_t i = 0; argv[i] && used < sizeof(line) - 1; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s ", argv[i]);
	world_fail(w, "exit %d: %s", status, line);
}

char *
file_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len = 0, cap = 0;
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	append(&text, &len, &cap, "", 0);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		append(&text, &len, &cap, chunk, (size_t)n);
	close(fd);
	return text;
}

/* /proc/PID/environ and cmdline hold strings ended by NUL; file_text keeps the bytes, so walk by length. */
static bool
environment_has(pid_t pid, const char *variable)
{
	char path[64], env[65536];
	ssize_t n, total = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((size_t)total < sizeof(env) - 1 && (n = read(fd, env + total, sizeof(env) - 1 - (size_t)total)) > 0)
		total += n;
	close(fd);
	env[total] = '\0';
	for (char *s = env; s < env + total; s += strlen(s) + 1)
		if (strncmp(s, variable, strlen(variable)) == 0)
			return true;
	return false;
}

unsigned
processes_marked(const char *marker, pid_t *pids, unsigned cap)
{
	DIR *proc = must(opendir("/proc"));
	char variable[128];
	struct dirent *e;
	unsigned n = 0;

	snprintf(variable, sizeof(variable), "ROOKERY_E2E_RUN=%s", marker);
	while ((e = readdir(proc))) {
		pid_t pid = atoi(e->d_name);

		if (pid <= 0 || pid == getpid() || !environment_has(pid, variable))
			continue;
		if (n < cap)
			pids[n] = pid;
		n++;
	}
	closedir(proc);
	return n;
}

const char *
process_program(pid_t pid, char *buf, size_t cap)
{
	char path[64];
	char *text, *slash;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	text = file_text(path);
	slash = text ? strrchr(text, '/') : NULL;
	snprintf(buf, cap, "%s", slash ? slash + 1 : text ? text : "");
	free(text);
	return buf;
}
