/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/launcher/banner.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static bool
in_path(const char *dir, const char *path_variable)
{
	size_t len = strlen(dir);
	for (const char *p = path_variable; p && *p;) {
		size_t n = strcspn(p, ":");
		if (n == len && memcmp(p, dir, len) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

const char *
banner_program(const char *bin_dir, const char *name, const char *cwd, const char *path_variable, char *out,
	       size_t cap)
{
	size_t len = strlen(cwd);
	int n;
	if (in_path(bin_dir, path_variable))
		n = snprintf(out, cap, "%s", name);
	else if (strcmp(bin_dir, cwd) == 0)
		n = snprintf(out, cap, "./%s", name);
	else if (len > 1 && strncmp(bin_dir, cwd, len) == 0 && bin_dir[len] == '/')
		n = snprintf(out, cap, "%s/%s", bin_dir + len + 1, name);
	else
		n = snprintf(out, cap, "%s/%s", bin_dir, name);
	return n > 0 && (size_t)n < cap ? out : NULL;
}

const char *
banner_reachable(const char *listen, char *out, size_t cap)
{
	const char *host = "", *rest = listen;
	if (strncmp(listen, "0.0.0.0:", 8) == 0) {
		host = "127.0.0.1";
		rest = listen + 7;
	} else if (strncmp(listen, "[::]:", 5) == 0) {
		host = "[::1]";
		rest = listen + 4;
	}
	int n = snprintf(out, cap, "%s%s", host, rest);
	return n > 0 && (size_t)n < cap ? out : NULL;
}

/* The address that is shown to a person who wants to try the server; an ethdev port is reached from
 * elsewhere. */
static const char *
try_address(const struct config *c, char *out, size_t cap)
{
	for (unsigned i = 0; i < c->dataplane.ports_count; i++)
		if (c->dataplane.ports[i].type == PORT_SOCKET)
			return banner_reachable(c->dataplane.ports[i].listen, out, cap);
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];
		if (p->addresses_count == 0)
			continue;
		const char *address = p->addresses[0];
		int len = (int)strcspn(address, "/");
		bool v6 = strchr(address, ':') != NULL;
		int n = snprintf(out, cap, v6 ? "[%.*s]:%u" : "%.*s:%u", len, address, p->udp_port);
		return n > 0 && (size_t)n < cap ? out : NULL;
	}
	return NULL;
}

static void
print_ports(FILE *out, const struct config *c)
{
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		const struct config_port *p = &c->dataplane.ports[i];
		const char *label = i == 0 ? "listening" : "";
		if (p->type == PORT_SOCKET) {
			fprintf(out, "  %-11s udp %s (kernel socket)\n", label, p->listen);
			continue;
		}
		fprintf(out, "  %-11s udp port %u on %s:", label, p->udp_port,
			p->devices_count ? p->devices[0] : "ethdev");
		for (unsigned a = 0; a < p->addresses_count; a++)
			fprintf(out, " %s", p->addresses[a]);
		fputc('\n', out);
	}
}

/* The options that make the operator's tool find this server, as they were given to us. */
static void
print_options(FILE *out, const struct banner *b)
{
	if (b->config_path)
		fprintf(out, " --config %s", b->config_path);
	if (b->state_dir)
		fprintf(out, " --state %s", b->state_dir);
}

static void
print_next(FILE *out, const struct banner *b, const json_t *page)
{
	char cwd[PATH_MAX], program[PATH_MAX], beside[PATH_MAX], address[128];
	const char *path = getenv("PATH");
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	snprintf(beside, sizeof(beside), "%s/rookchat", b->bin_dir);
	if (access(beside, X_OK) == 0 && try_address(b->config, address, sizeof(address)) &&
	    banner_program(b->bin_dir, "rookchat", cwd, path, program, sizeof(program))) {
		fprintf(out, "\nTo chat, in two other terminals:\n");
		fprintf(out, "  %s --server %s --user alice%s\n", program, address,
			b->config->control.registration ? " --register" : "");
		fprintf(out, "  %s --server %s --user bob%s\n", program, address,
			b->config->control.registration ? " --register" : "");
	}
	if (banner_program(b->bin_dir, "rookctl", cwd, path, program, sizeof(program))) {
		fprintf(out, "To look inside:\n  %s", program);
		print_options(out, b);
		fprintf(out, " status\n");
		if (json_is_true(json_object_get(page, "ok")))
			fprintf(out, "  http://%s/ in a browser\n", json_string_value(json_object_get(page, "listen")));
		else if (b->config->metrics.listen[0] != '\0')
			fprintf(out, "  no page for a browser: %s\n", json_string_value(json_object_get(page, "error")));
	}
	fprintf(out, "Ctrl-C stops everything.\n\n");
}

void
banner_print(FILE *out, const struct banner *b, const json_t *status)
{
	const char *key = json_string_value(json_object_get(status, "server_key"));
	fprintf(out, "Rookery " ROOKERY_VERSION " is up\n");
	print_ports(out, b->config);
	fprintf(out, "  %-11s rookery-dataplane %ld, rookery-control %ld, rookery %ld\n", "processes",
		(long)b->dataplane, (long)b->control, (long)getpid());
	fprintf(out, "  %-11s %s\n", "state", b->config->state_dir);
	fprintf(out, "  %-11s %s\n", "admin", b->control_socket);
	fprintf(out, "  %-11s %s\n", "server key", key ? key : "?");
	print_next(out, b, json_object_get(status, "status_page"));
	fprintf(out, "rookery: ready\n");
	fflush(out);
}
