// SPDX-License-Identifier: BSD-3-Clause
#include "shared/config.h"

#include "shared/account.h"
#include "shared/address.h"
#include "shared/config_default.h"
#include "shared/config_parse.h"
#include "shared/log.h"
#include "shared/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)
#define SOCKET_NAME_MAX 13 /* "doorbell.sock" */
#define STATE_DIR_DEFAULT "~/.local/state/rookery" /* as in config/default.yaml */
#define STATE_DIR_ROOT "/var/lib/rookery"
#define CPU_MAX 4096

/* ---- loading ------------------------------------------------------------------------ */

/* Where libcyaml stopped: its log is the only way to learn it. */
static void
note_line(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
	size_t *line = ctx;
	char text[256];
	const char *found;

	if (level < CYAML_LOG_ERROR || *line != 0)
		return;
	vsnprintf(text, sizeof(text), format, args);
	found = strstr(text, "(line: ");
	if (found != NULL)
		*line = strtoul(found + strlen("(line: "), NULL, 10);
}

static cyaml_config_t
cyaml_settings(size_t *line)
{
	return (cyaml_config_t){
		.log_fn = line == NULL ? NULL : note_line,
		.log_ctx = line,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

/* Loads one text; *out is NULL when it sets nothing. After 0 the caller deletes doc. */
static int
load_one(struct config **out, yaml_document_t *doc, const char *text, size_t len, struct config_error *e)
{
	size_t line = 0;
	cyaml_config_t settings = cyaml_settings(&line);
	int rc = config_check(doc, text, len, e);
	cyaml_err_t err;

	*out = NULL;
	if (rc < 0 || yaml_document_get_root_node(doc) == NULL)
		return rc;
	err = cyaml_load_data((const uint8_t *)text, len, &settings, &config_schema, (cyaml_data_t **)out, NULL);
	if (err == CYAML_OK)
		return 0;
	/* Little gets past config_check. */
	if (err == CYAML_ERR_ALIAS)
		config_error_at(e, line, "aliases (\"*name\") are not read; write the value out");
	else
		config_error_at(e, line, "%s", cyaml_strerror(err));
	yaml_document_delete(doc);
	return -EINVAL;
}

/* An absent key of a list's entry has no default in another file. */
static int
fill_text(char **text)
{
	if (*text == NULL)
		*text = strdup("");
	return *text == NULL ? -ENOMEM : 0;
}

/* The default of a port's number. */
static uint16_t
port_standard(const char *path)
{
	return (uint16_t)strtoul(config_key_find(path)->standard, NULL, 10);
}

static int
fill_ports(struct config *c, yaml_document_t *doc)
{
	yaml_node_t *root = yaml_document_get_root_node(doc);
	yaml_node_t *list = config_node(doc, config_node(doc, root, "dataplane"), "ports");

	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		struct config_port *p = &c->dataplane.ports[i];

		if (p->udp_port == 0)
			p->udp_port = port_standard("dataplane.ports.udp_port");
		if (p->mtu == 0)
			p->mtu = port_standard("dataplane.ports.mtu");
		if (config_node(doc, config_item(doc, list, i), "checksum_offload") == NULL)
			p->checksum_offload = strcmp(config_key_find("dataplane.ports.checksum_offload")->standard, "true") == 0;
		if (fill_text(&p->listen) < 0 || fill_text(&p->gateway) < 0 || fill_text(&p->gateway6) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void
swap_bytes(void *a, void *b, size_t n)
{
	uint8_t *x = a, *y = b;

	for (; n > 0; n--, x++, y++) {
		uint8_t t = *x;

		*x = *y;
		*y = t;
	}
}

/* Exchanges every value that the mapping `given` names, so that freeing `from` afterwards frees what it replaced.
 * Lists are exchanged whole. */
static void
overlay(const cyaml_schema_field_t *fields, yaml_document_t *doc, yaml_node_t *given, void *into, void *from)
{
	for (; fields->key != NULL; fields++) {
		const cyaml_schema_value_t *schema = &fields->value;
		yaml_node_t *node = config_node(doc, given, fields->key);
		uint8_t *a = (uint8_t *)into + fields->data_offset;
		uint8_t *b = (uint8_t *)from + fields->data_offset;

		if (node == NULL)
			continue;
		if (schema->type == CYAML_MAPPING) {
			overlay(schema->mapping.fields, doc, node, a, b);
			continue;
		}
		swap_bytes(a, b, schema->flags & CYAML_FLAG_POINTER ? sizeof(void *) : schema->data_size);
		if (schema->type == CYAML_SEQUENCE)
			swap_bytes((uint8_t *)into + fields->count_offset, (uint8_t *)from + fields->count_offset,
				   fields->count_size);
	}
}

/* ---- directories -------------------------------------------------------------------- */

static const char *
home_dir(void)
{
	const char *home = getenv("HOME");
	struct passwd *pw;

	if (home != NULL && home[0] == '/')
		return home;
	pw = getpwuid(getuid());
	return pw == NULL ? NULL : pw->pw_dir;
}

/* "~", "~/x", "$VAR", "${VAR}/x" and relative paths become absolute. Returns 0, -ENOENT (an unset variable), -ENOMEM. */
static int
expand_path(char **path)
{
	char variable[128];
	const char *text = *path, *rest = text, *base = NULL;
	char here[4096];
	char *expanded;
	size_t n;

	if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
		base = home_dir();
		rest = text + 1;
		if (base == NULL)
			return -ENOENT;
	} else if (text[0] == '$') {
		bool braces = text[1] == '{';

		text += braces ? 2 : 1;
		n = strcspn(text, braces ? "}" : "/");
		if (n == 0 || n >= sizeof(variable) || (braces && text[n] != '}'))
			return -ENOENT;
		memcpy(variable, text, n);
		variable[n] = '\0';
		base = getenv(variable);
		rest = text + n + braces;
		if (base == NULL || base[0] == '\0')
			return -ENOENT;
	} else if (text[0] != '/') {
		base = getcwd(here, sizeof(here));
		if (base == NULL)
			return -ENOENT;
	}
	if (base == NULL)
		return 0;
	if (asprintf(&expanded, "%s%s%s", base, rest[0] == '/' || rest[0] == '\0' ? "" : "/", rest) < 0)
		return -ENOMEM;
	free(*path);
	*path = expanded;
	return 0;
}

/* Leaves no slash at the end, so that paths in messages look as typed. */
static void
trim_slashes(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

static int
expand_dirs(struct config *c, const char *state_dir_override, size_t state_line, size_t runtime_line,
	    struct config_error *e)
{
	size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - SOCKET_NAME_MAX - 1;

	/* Root's home is closed to the account that the server runs as. */
	if (state_dir_override == NULL && strcmp(c->state_dir, STATE_DIR_DEFAULT) == 0 &&
	    strcmp(c->security.user, "root") != 0 && account_changeable())
		state_dir_override = STATE_DIR_ROOT;
	if (state_dir_override != NULL) {
		char *copy = strdup(state_dir_override);

		if (copy == NULL)
			return -ENOMEM;
		free(c->state_dir);
		c->state_dir = copy;
		state_line = 0;
	}
	if (c->state_dir[0] == '\0')
		return config_error_at(e, state_line, "state_dir: must name a directory");
	if (expand_path(&c->state_dir) < 0)
		return config_error_at(e, state_line, "state_dir: \"%s\": the variable or home directory is not set",
				       c->state_dir);
	trim_slashes(c->state_dir);
	if (c->runtime_dir[0] == '\0') {
		free(c->runtime_dir);
		if (asprintf(&c->runtime_dir, "%s/run", c->state_dir) < 0) {
			c->runtime_dir = NULL;
			return -ENOMEM;
		}
	} else if (expand_path(&c->runtime_dir) < 0) {
		return config_error_at(e, runtime_line, "runtime_dir: \"%s\": the variable or home directory is not set",
				       c->runtime_dir);
	}
	trim_slashes(c->runtime_dir);
	if (c->metrics.token_file[0] != '\0' && expand_path(&c->metrics.token_file) < 0)
		return config_error_at(e, 0, "metrics.token_file: \"%s\": the variable or home directory is not set",
				       c->metrics.token_file);
	if (strlen(c->runtime_dir) > longest)
		return config_error_at(e, runtime_line,
				       "runtime_dir: \"%s\" is too long for the sockets in it (at most %zu bytes); set a shorter runtime_dir",
				       c->runtime_dir, longest);
	return 0;
}

/* ---- what no single key shows ------------------------------------------------------- */

int
config_cpus(const char *list, uint16_t *cpus, unsigned max)
{
	unsigned count = 0;

	for (const char *p = list;; p++) {
		char *end;
		unsigned long first, last;

		if (*p < '0' || *p > '9')
			return -EINVAL;
		first = last = strtoul(p, &end, 10);
		if (*end == '-') {
			p = end + 1;
			if (*p < '0' || *p > '9')
				return -EINVAL;
			last = strtoul(p, &end, 10);
		}
		if (last < first || last >= CPU_MAX)
			return -EINVAL;
		for (; first <= last; first++, count++)
			if (count < max)
				cpus[count] = (uint16_t)first;
		if (count > CPU_MAX)
			return -EINVAL;
		p = end;
		if (*p == '\0')
			return (int)count;
		if (*p != ',')
			return -EINVAL;
	}
}

/* "10.0.0.1/24", "fd00::1/64" */
static bool
prefix_valid(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	uint8_t binary[16];
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - text);
	unsigned long bits;
	int family;

	if (n == 0 || n >= sizeof(address) || slash[1] < '0' || slash[1] > '9' || strlen(slash + 1) > 3 ||
	    slash[1 + strspn(slash + 1, "0123456789")] != '\0')
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	family = strchr(address, ':') == NULL ? AF_INET : AF_INET6;
	bits = strtoul(slash + 1, NULL, 10);
	return inet_pton(family, address, binary) == 1 && bits <= (family == AF_INET ? 32 : 128);
}

/* A key that belongs to the other type of port. */
static int
check_foreign_keys(yaml_document_t *doc, yaml_node_t *node, enum config_port_type type, struct config_error *e)
{
	static const char *const ethdev_keys[] = {"devices", "addresses", "gateway", "gateway6", "udp_port", "mtu",
						  "checksum_offload"};
	yaml_node_t *found = type == PORT_ETHDEV ? config_node(doc, node, "listen") : NULL;

	if (found != NULL)
		return config_error_at(e, config_line(found),
				       "dataplane.ports.listen: belongs to type socket; type ethdev has addresses and udp_port");
	for (size_t i = 0; type == PORT_SOCKET && i < sizeof(ethdev_keys) / sizeof(ethdev_keys[0]); i++) {
		found = config_node(doc, node, ethdev_keys[i]);
		if (found != NULL)
			return config_error_at(e, config_line(found),
					       "dataplane.ports.%s: belongs to type ethdev; type socket has only listen",
					       ethdev_keys[i]);
	}
	return 0;
}

static int
check_ethdev(const struct config *c, const struct config_port *p, yaml_document_t *doc, yaml_node_t *node,
	     struct config_error *e)
{
	yaml_node_t *addresses = config_node(doc, node, "addresses");
	uint8_t binary[16];

	if (p->devices_count != 1 && p->devices_count < c->dataplane.workers)
		return config_error_at(e, config_line(node),
				       "dataplane.ports.devices: %u given; one for all workers, or one for each of the %u workers",
				       p->devices_count, c->dataplane.workers);
	for (unsigned i = 0; i < p->devices_count; i++)
		if (p->devices[i][0] == '\0')
			return config_error_at(e, config_line(node), "dataplane.ports.devices: an empty name");
	if (p->addresses_count == 0)
		return config_error_at(e, config_line(node),
				       "dataplane.ports.addresses: an ethdev port needs at least one, as \"10.0.0.1/24\"");
	for (unsigned i = 0; i < p->addresses_count; i++)
		if (!prefix_valid(p->addresses[i]))
			return config_error_at(e, config_line(config_item(doc, addresses, i)),
					       "dataplane.ports.addresses: \"%s\" is no address with a prefix length, as \"10.0.0.1/24\" or \"fd00::1/64\"",
					       p->addresses[i]);
	if (p->gateway[0] != '\0' && inet_pton(AF_INET, p->gateway, binary) != 1)
		return config_error_at(e, config_line(config_node(doc, node, "gateway")),
				       "dataplane.ports.gateway: \"%s\" is no IPv4 address", p->gateway);
	if (p->gateway6[0] != '\0' && inet_pton(AF_INET6, p->gateway6, binary) != 1)
		return config_error_at(e, config_line(config_node(doc, node, "gateway6")),
				       "dataplane.ports.gateway6: \"%s\" is no IPv6 address", p->gateway6);
	return 0;
}

static int
check_port(const struct config *c, unsigned i, yaml_document_t *doc, yaml_node_t *node, struct config_error *e)
{
	const struct config_port *p = &c->dataplane.ports[i];
	yaml_node_t *listen = config_node(doc, node, "listen");
	struct endpoint endpoint;
	int rc = check_foreign_keys(doc, node, p->type, e);

	if (rc < 0)
		return rc;
	if (p->type == PORT_ETHDEV)
		return check_ethdev(c, p, doc, node, e);
	/* 0 would be a port that nobody knows. */
	if (endpoint_parse(&endpoint, p->listen, WIRE_PORT) < 0 || endpoint.port == 0)
		return config_error_at(e, config_line(listen == NULL ? node : listen),
				       "dataplane.ports.listen: \"%s\" is no address, as \"127.0.0.1:8000\" or \"[::]:8000\"",
				       p->listen);
	return 0;
}

/* Does nothing from outside this machine's memory come in there? */
static bool
port_is_private(const struct config_port *p)
{
	static const char *const in_memory[] = {"net_ring", "net_pcap", "net_null", "net_memif", "net_vhost", "net_virtio_user"};
	struct endpoint at;

	if (p->type == PORT_SOCKET)
		return endpoint_parse(&at, p->listen, WIRE_PORT) == 0 && endpoint_is_loopback(&at);
	for (unsigned i = 0; i < p->devices_count; i++) {
		bool found = false;

		for (size_t k = 0; k < sizeof(in_memory) / sizeof(in_memory[0]); k++)
			found |= strncmp(p->devices[i], in_memory[k], strlen(in_memory[k])) == 0;
		/* A pcap device may be an interface, and virtio-user's peer the kernel. */
		if (!found || strstr(p->devices[i], "/dev/") != NULL ||
		    (strncmp(p->devices[i], "net_pcap", 8) == 0 && strstr(p->devices[i], "iface=") != NULL))
			return false;
	}
	return true;
}

static int
check_replay(const struct config *c, yaml_document_t *doc, yaml_node_t *dataplane, struct config_error *e)
{
	for (unsigned i = 0; !c->dataplane.replay_check && i < c->dataplane.ports_count; i++)
		if (!port_is_private(&c->dataplane.ports[i]))
			return config_error_at(e, config_line(config_node(doc, dataplane, "replay_check")),
					       "dataplane.replay_check: false is for benchmarks; port %u can be reached from outside this "
					       "machine's memory, so it must be true",
					       i);
	return 0;
}

static int
check_dataplane(const struct config *c, yaml_document_t *doc, yaml_node_t *dataplane, struct config_error *e)
{
	yaml_node_t *ports = config_node(doc, dataplane, "ports");
	int cpus, rc;

	if (c->dataplane.cpus[0] != '\0') {
		size_t line = config_line(config_node(doc, dataplane, "cpus"));

		cpus = config_cpus(c->dataplane.cpus, NULL, 0);
		if (cpus < 0)
			return config_error_at(e, line, "dataplane.cpus: \"%s\" is no list of CPUs, as \"2,4-7\"",
					       c->dataplane.cpus);
		if ((unsigned)cpus < c->dataplane.workers + 1)
			return config_error_at(e, line, "dataplane.cpus: names %d CPUs; %u workers and housekeeping need %u", cpus,
					       c->dataplane.workers, c->dataplane.workers + 1);
	}
	if (c->dataplane.sessions < c->dataplane.workers)
		return config_error_at(e, config_line(config_node(doc, dataplane, "workers")),
				       "dataplane.sessions: %u is less than one per worker", c->dataplane.sessions);
	if (c->dataplane.ports_count == 0)
		return config_error_at(e, config_line(ports), "dataplane.ports: at least one port is needed");
	for (unsigned i = 0; i < c->dataplane.ports_count; i++) {
		rc = check_port(c, i, doc, config_item(doc, ports, i), e);
		if (rc < 0)
			return rc;
	}
	return check_replay(c, doc, dataplane, e);
}

static int
check_metrics(const struct config *c, yaml_document_t *doc, yaml_node_t *metrics, struct config_error *e)
{
	const char *listen = c->metrics.listen;
	size_t line = config_line(config_node(doc, metrics, "listen"));
	struct endpoint at;

	if (listen[0] == '\0')
		return 0;
	if (endpoint_parse(&at, listen, METRICS_PORT) < 0)
		return config_error_at(e, line, "metrics.listen: \"%s\" is no address, as \"127.0.0.1:8001\"", listen);
	if (c->metrics.token_file[0] == '\0' && !endpoint_is_loopback(&at))
		return config_error_at(e, line,
				       "metrics.listen: %s can be reached from other machines: set metrics.token_file, too",
				       listen);
	return 0;
}

/* "area=level" */
static int
area_level(const char *text, enum log_area *area, enum log_level *level, char *error, size_t error_cap)
{
	size_t n = strcspn(text, "=");
	char name[64];

	if (text[n] != '=' || n >= sizeof(name) || log_level_find(text + n + 1, level) < 0) {
		snprintf(error, error_cap, "\"%.80s\" is no area with a level, as \"session=debug\"", text);
		return -EINVAL;
	}
	memcpy(name, text, n);
	name[n] = '\0';
	return log_area_find(name, area, error, error_cap);
}

static int
check_log(const struct config *c, yaml_document_t *doc, yaml_node_t *log, struct config_error *e)
{
	enum log_level level;
	enum log_area area;
	char error[300];

	for (unsigned i = 0; i < c->log.areas_count; i++)
		if (area_level(c->log.areas[i], &area, &level, error, sizeof(error)) < 0)
			return config_error_at(e, config_line(config_item(doc, config_node(doc, log, "areas"), i)),
					       "log.areas: %s", error);
	return 0;
}

static int
check_whole(const struct config *c, yaml_document_t *doc, struct config_error *e)
{
	yaml_node_t *root = yaml_document_get_root_node(doc);
	yaml_node_t *session = config_node(doc, root, "session");
	int rc;

	if (c->session.timeout_ms <= c->session.heartbeat_ms) {
		yaml_node_t *timeout = config_node(doc, session, "timeout_ms");
		yaml_node_t *heartbeat = config_node(doc, session, "heartbeat_ms");

		return config_error_at(e, config_line(timeout != NULL ? timeout : heartbeat),
				       "session.timeout_ms: %u must be larger than session.heartbeat_ms (%u)",
				       c->session.timeout_ms, c->session.heartbeat_ms);
	}
	rc = check_log(c, doc, config_node(doc, root, "log"), e);
	if (rc < 0)
		return rc;
	rc = check_metrics(c, doc, config_node(doc, root, "metrics"), e);
	return rc < 0 ? rc : check_dataplane(c, doc, config_node(doc, root, "dataplane"), e);
}

/* ---- interface ---------------------------------------------------------------------- */

int
config_load_text(struct config **out, const char *file, const char *text, size_t len, const char *state_dir_override,
		 char *error, size_t error_cap)
{
	struct config_error e = {.file = "config/default.yaml", .text = error, .cap = error_cap};
	struct config *c = NULL, *user = NULL;
	yaml_document_t doc;
	yaml_node_t *root;
	int rc;

	*out = NULL;
	if (error_cap == 0)
		return -EINVAL;
	error[0] = '\0';
	rc = load_one(&c, &doc, CONFIG_DEFAULT_YAML, strlen(CONFIG_DEFAULT_YAML), &e);
	if (rc < 0)
		return rc;
	rc = fill_ports(c, &doc);
	if (rc == 0 && text != NULL) {
		yaml_document_delete(&doc);
		e.file = file;
		rc = load_one(&user, &doc, text, len, &e);
		if (rc < 0) {
			config_free(c);
			return rc;
		}
		if (user != NULL) {
			rc = fill_ports(user, &doc);
			overlay(config_schema.mapping.fields, &doc, yaml_document_get_root_node(&doc), c, user);
			config_free(user);
		}
	}
	root = yaml_document_get_root_node(&doc);
	if (rc == 0)
		rc = expand_dirs(c, state_dir_override, config_line(config_node(&doc, root, "state_dir")),
				 config_line(config_node(&doc, root, "runtime_dir")), &e);
	if (rc == 0)
		rc = check_whole(c, &doc, &e);
	yaml_document_delete(&doc);
	if (rc == -ENOMEM)
		config_error_at(&e, 0, "no memory");
	if (rc < 0) {
		config_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* Reads all of path into a new buffer. */
static int
read_file(const char *path, char **text, size_t *len, struct config_error *e)
{
	char *buffer = malloc(FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	int rc = 0;

	*len = 0;
	if (buffer == NULL)
		rc = -ENOMEM;
	else if (fd < 0)
		rc = -errno;
	while (rc == 0 && *len <= FILE_MAX) {
		n = read(fd, buffer + *len, FILE_MAX + 1 - *len);
		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (n == 0)
			break;
		if (n > 0)
			*len += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	if (rc == 0 && *len > FILE_MAX)
		rc = -EFBIG;
	if (rc < 0) {
		config_error_at(e, 0, "cannot be read: %s", strerror(-rc));
		free(buffer);
		return rc;
	}
	*text = buffer;
	return 0;
}

int
config_load(struct config **out, const char *path, const char *state_dir_override, char *error, size_t error_cap)
{
	struct config_error e = {.file = path, .text = error, .cap = error_cap};
	char *text;
	size_t len;
	int rc;

	*out = NULL;
	if (path == NULL)
		return config_load_text(out, "", NULL, 0, state_dir_override, error, error_cap);
	rc = read_file(path, &text, &len, &e);
	if (rc < 0)
		return rc;
	rc = config_load_text(out, path, text, len, state_dir_override, error, error_cap);
	free(text);
	return rc;
}

void
config_log_levels(const struct config *c)
{
	enum log_level level;
	enum log_area area;
	char error[300];

	log_set_format(c->log.format == CONFIG_LOG_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT);
	log_set_levels((enum log_level)c->log.level);
	for (unsigned i = 0; i < c->log.areas_count; i++) /* they were checked when they were read */
		if (area_level(c->log.areas[i], &area, &level, error, sizeof(error)) == 0)
			log_set_level(area, level);
}

void
config_log_open(const struct config *c, const char *program)
{
	log_open(program, (enum log_level)c->log.level);
	config_log_levels(c);
}

void
config_free(struct config *c)
{
	cyaml_config_t settings = cyaml_settings(NULL);

	/* state_dir and runtime_dir may come from strdup and asprintf: cyaml_mem is realloc and free. */
	if (c != NULL)
		cyaml_free(&settings, &config_schema, c, 0);
}

static const char *
join_path(const char *dir, const char *name, char *buf, size_t cap)
{
	int n = snprintf(buf, cap, "%s/%s", dir, name);

	return n >= 0 && (size_t)n < cap ? buf : NULL;
}

const char *
config_runtime_path(const struct config *c, const char *name, char *buf, size_t cap)
{
	return join_path(c->runtime_dir, name, buf, cap);
}

const char *
config_state_path(const struct config *c, const char *name, char *buf, size_t cap)
{
	return join_path(c->state_dir, name, buf, cap);
}
