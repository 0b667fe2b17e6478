// SPDX-License-Identifier: BSD-3-Clause
#include "shared/account.h"
#include "shared/config_parse.h"
#include "shared/config_values.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[512];

static struct config *
load(const char *text)
{
	struct config *c;
	int rc = config_load_text(&c, "x.yaml", text, strlen(text), NULL, error, sizeof(error));

	if (rc < 0)
		fail_msg("%s", error);
	return c;
}

/* The whole line of the error. */
static void
assert_refused(const char *text, const char *expected)
{
	struct config *c;

	assert_int_equal(config_load_text(&c, "x.yaml", text, strlen(text), NULL, error, sizeof(error)), -EINVAL);
	assert_null(c);
	assert_string_equal(error, expected);
}

/* ---- what is read ------------------------------------------------------------------- */

static void
test_default(void **state)
{
	struct config *c;

	(void)state;
	setenv("HOME", "/home/alice", 1);
	assert_int_equal(config_load(&c, NULL, NULL, error, sizeof(error)), 0);
	if (account_changeable()) { /* root's server runs as somebody else, to whom homes are closed */
		assert_string_equal(c->state_dir, "/var/lib/rookery");
		config_free(c);
		c = load("security: {user: root}\n");
	}
	assert_string_equal(c->state_dir, "/home/alice/.local/state/rookery");
	assert_string_equal(c->runtime_dir, "/home/alice/.local/state/rookery/run");
	assert_int_equal(c->dataplane.workers, 1);
	assert_int_equal(c->dataplane.poll, POLL_ADAPTIVE);
	assert_false(c->dataplane.hugepages);
	assert_int_equal(c->dataplane.eal_count, 0);
	assert_int_equal(c->dataplane.ports_count, 1);
	assert_int_equal(c->dataplane.ports[0].type, PORT_SOCKET);
	assert_string_equal(c->dataplane.ports[0].listen, "127.0.0.1:8000");
	assert_int_equal(c->session.timeout_ms, 60000);
	assert_true(c->control.registration);
	assert_int_equal(c->log.level, CONFIG_LOG_INFO);
	config_free(c);
}

/* A key without a default would be 0 in every file that leaves it out. */
static void
assert_all_given(yaml_document_t *doc, yaml_node_t *node, const cyaml_schema_field_t *fields)
{
	for (; fields->key != NULL; fields++) {
		yaml_node_t *value = config_node(doc, node, fields->key);

		if (value == NULL)
			fail_msg("config/default.yaml lacks %s", fields->key);
		if (fields->value.type == CYAML_MAPPING)
			assert_all_given(doc, value, fields->value.mapping.fields);
	}
}

static char *
source_file(const char *name)
{
	static char text[65536];
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", getenv("SOURCE_ROOT"), name);
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void
test_default_names_every_key(void **state)
{
	struct config_error e = {.file = "default.yaml", .text = error, .cap = sizeof(error)};
	char *text = source_file("config/default.yaml");
	yaml_document_t doc;

	(void)state;
	assert_int_equal(config_check(&doc, text, strlen(text), &e), 0);
	assert_all_given(&doc, yaml_document_get_root_node(&doc), config_schema.mapping.fields);
	yaml_document_delete(&doc);
}

/* The table and the schema are made of the same lines; a key that the table lacks would have no range. */
static unsigned
assert_described(const char *path, const cyaml_schema_field_t *fields)
{
	unsigned n = 0;

	for (; fields->key != NULL; fields++) {
		const cyaml_schema_value_t *value = &fields->value;
		const struct config_key *found;
		char key[256];

		snprintf(key, sizeof(key), "%s%s%s", path, path[0] == '\0' ? "" : ".", fields->key);
		if (value->type == CYAML_MAPPING) {
			n += assert_described(key, value->mapping.fields);
			continue;
		}
		if (value->type == CYAML_SEQUENCE && value->sequence.entry->type == CYAML_MAPPING)
			n += assert_described(key, value->sequence.entry->mapping.fields);
		found = config_key_find(key);
		if (found == NULL)
			fail_msg("%s is not in the table", key);
		assert_int_equal(found->is_number, value->type == CYAML_UINT);
		assert_true(!found->is_number || found->min <= found->max);
		assert_true(found->meaning[0] != '\0');
		n++;
	}
	return n;
}

static void
test_every_key_is_described(void **state)
{
	unsigned n = 0;

	(void)state;
	while (config_keys[n].path != NULL)
		n++;
	assert_int_equal(assert_described("", config_schema.mapping.fields), n);
}

/* Every file in config/examples is one that the real parser takes; returns the one named. */
static struct config *
example(const char *name)
{
	char path[4096];
	struct config *c;

	snprintf(path, sizeof(path), "%s/config/examples/%s", getenv("SOURCE_ROOT"), name);
	if (config_load(&c, path, NULL, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return c;
}

static void
test_examples_are_read(void **state)
{
	unsigned n = 0;
	char path[4096];
	struct dirent *entry;
	DIR *dir;

	(void)state;
	snprintf(path, sizeof(path), "%s/config/examples", getenv("SOURCE_ROOT"));
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".yaml") == NULL)
			continue;
		config_free(example(entry->d_name));
		n++;
	}
	closedir(dir);
	assert_true(n >= 6);
}

static void
test_production_examples(void **state)
{
	struct config *c;

	(void)state;
	c = example("nic.yaml");
	assert_int_equal(c->dataplane.ports_count, 1);
	assert_int_equal(c->dataplane.ports[0].type, PORT_ETHDEV);
	assert_true(c->dataplane.hugepages);
	assert_int_equal(c->dataplane.poll, POLL_BUSY);
	config_free(c);
	c = example("two-numa.yaml");
	assert_int_equal(c->dataplane.ports_count, 2);
	assert_int_equal(c->dataplane.workers, 16);
	assert_string_not_equal(c->dataplane.ports[0].devices[0], c->dataplane.ports[1].devices[0]);
	assert_true(c->dataplane.hugepages);
	config_free(c);
}

static void
test_empty_file_is_the_default(void **state)
{
	static const char *const texts[] = {"", "# nothing\n", "\n\n"};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct config *c = load(texts[i]);

		assert_int_equal(c->dataplane.workers, 1);
		config_free(c);
	}
}

static void
test_file_overrides_single_keys(void **state)
{
	struct config *c;

	(void)state;
	c = load("state_dir: /srv/r\n"
		 "dataplane: {workers: 4, cpus: \"2,4-7\", poll: busy, hugepages: on, eal: [--in-memory, -d, x.so]}\n"
		 "session: {timeout_ms: 30000}\n"
		 "control: {registration: no}\n"
		 "log: {level: debug}\n");
	assert_string_equal(c->state_dir, "/srv/r");
	assert_string_equal(c->runtime_dir, "/srv/r/run");
	assert_int_equal(c->dataplane.workers, 4);
	assert_string_equal(c->dataplane.cpus, "2,4-7");
	assert_int_equal(c->dataplane.poll, POLL_BUSY);
	assert_true(c->dataplane.hugepages);
	assert_int_equal(c->dataplane.eal_count, 3);
	assert_string_equal(c->dataplane.eal[2], "x.so");
	assert_int_equal(c->session.timeout_ms, 30000);
	assert_false(c->control.registration);
	assert_int_equal(c->log.level, CONFIG_LOG_DEBUG);
	/* not named: as in the default */
	assert_int_equal(c->session.heartbeat_ms, 20000);
	assert_int_equal(c->dataplane.sessions, 65536);
	assert_int_equal(c->dataplane.ports_count, 1);
	config_free(c);
}

static void
test_list_replaces_the_default(void **state)
{
	struct config *c;

	(void)state;
	c = load("dataplane:\n"
		 "  workers: 2\n"
		 "  ports:\n"
		 "    - type: ethdev\n"
		 "      devices: [\"net_af_xdp0,iface=v0\", \"net_af_xdp1,iface=v0,start_queue=1\"]\n"
		 "      addresses: [10.0.0.1/24, \"fd00::1/64\"]\n"
		 "      gateway: 10.0.0.254\n"
		 "    - type: ethdev\n"
		 "      devices: [\"0000:03:00.0\"]\n"
		 "      addresses: [10.0.1.1/24]\n"
		 "      gateway6: fe80::1\n"
		 "      udp_port: 9000\n"
		 "      mtu: 9000\n"
		 "      checksum_offload: false\n"
		 "    - {type: socket, listen: \"[::]\"}\n");
	assert_int_equal(c->dataplane.ports_count, 3);
	assert_int_equal(c->dataplane.ports[0].type, PORT_ETHDEV);
	assert_int_equal(c->dataplane.ports[0].devices_count, 2);
	assert_string_equal(c->dataplane.ports[0].devices[1], "net_af_xdp1,iface=v0,start_queue=1");
	assert_int_equal(c->dataplane.ports[0].addresses_count, 2);
	assert_string_equal(c->dataplane.ports[0].gateway, "10.0.0.254");
	/* defaults of a port */
	assert_string_equal(c->dataplane.ports[0].gateway6, "");
	assert_string_equal(c->dataplane.ports[0].listen, "");
	assert_int_equal(c->dataplane.ports[0].udp_port, 8000);
	assert_int_equal(c->dataplane.ports[0].mtu, 1500);
	assert_true(c->dataplane.ports[0].checksum_offload);
	assert_int_equal(c->dataplane.ports[1].udp_port, 9000);
	assert_int_equal(c->dataplane.ports[1].mtu, 9000);
	assert_false(c->dataplane.ports[1].checksum_offload);
	assert_string_equal(c->dataplane.ports[2].listen, "[::]");
	config_free(c);
}

static void
test_paths_are_expanded(void **state)
{
	char here[4096], expected[5000];
	struct config *c;

	(void)state;
	setenv("HOME", "/home/alice", 1);
	setenv("ROOKERY_TEST", "/srv/x", 1);
	unsetenv("ROOKERY_UNSET");
	c = load("state_dir: ~\nruntime_dir: $ROOKERY_TEST\n");
	assert_string_equal(c->state_dir, "/home/alice");
	assert_string_equal(c->runtime_dir, "/srv/x");
	config_free(c);
	c = load("state_dir: ${ROOKERY_TEST}/a/\nruntime_dir: $ROOKERY_TEST/run//\n");
	assert_string_equal(c->state_dir, "/srv/x/a");
	assert_string_equal(c->runtime_dir, "/srv/x/run");
	config_free(c);
	c = load("state_dir: ./s\nruntime_dir: /\n");
	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(expected, sizeof(expected), "%s/./s", here);
	assert_string_equal(c->state_dir, expected);
	assert_string_equal(c->runtime_dir, "/");
	config_free(c);
	assert_refused("log: {level: info}\nstate_dir: $ROOKERY_UNSET/x\n",
		       "x.yaml:2: state_dir: \"$ROOKERY_UNSET/x\": the variable or home directory is not set");
	assert_refused("state_dir: ${ROOKERY_TEST\n",
		       "x.yaml:1: state_dir: \"${ROOKERY_TEST\": the variable or home directory is not set");
	assert_refused("state_dir: \"\"\n", "x.yaml:1: state_dir: must name a directory");
}

static void
test_state_dir_on_the_command_line_wins(void **state)
{
	static const char text[] = "state_dir: /srv/r\n";
	struct config *c;

	(void)state;
	assert_int_equal(config_load_text(&c, "x.yaml", text, strlen(text), "/tmp/s/", error, sizeof(error)), 0);
	assert_string_equal(c->state_dir, "/tmp/s");
	assert_string_equal(c->runtime_dir, "/tmp/s/run");
	config_free(c);
}

/* ---- what is refused ---------------------------------------------------------------- */

static void
test_unknown_keys(void **state)
{
	(void)state;
	assert_refused("dataplane:\n  workres: 2\n",
		       "x.yaml:2: unknown key \"workres\" in dataplane; did you mean \"workers\"?");
	assert_refused("datapalne:\n  workers: 2\n", "x.yaml:1: unknown key \"datapalne\"; did you mean \"dataplane\"?");
	assert_refused("\n\nworkers: 2\n", "x.yaml:3: unknown key \"workers\"; did you mean dataplane.workers?");
	assert_refused("log: {state_dir: x}\n",
		       "x.yaml:1: unknown key \"state_dir\" in log; did you mean state_dir at top level?");
	assert_refused("frobnicate: 1\n", "x.yaml:1: unknown key \"frobnicate\"; config/default.yaml shows all keys");
	assert_refused("dataplane:\n  ports:\n    - type: socket\n      listne: 127.0.0.1:1\n",
		       "x.yaml:4: unknown key \"listne\" in dataplane.ports; did you mean \"listen\"?");
	assert_refused("log:\n  level: info\n  level: debug\n", "x.yaml:3: key \"level\" is given twice");
	assert_refused("[a]: 1\n", "x.yaml:1: a key must be a plain word");
}

static void
test_wrong_numbers(void **state)
{
	(void)state;
	assert_refused("dataplane:\n  workers: 65\n", "x.yaml:2: dataplane.workers: 65 is out of range (1-64)");
	assert_refused("dataplane:\n  workers: 0\n", "x.yaml:2: dataplane.workers: 0 is out of range (1-64)");
	assert_refused("dataplane: {workers: -1}\n", "x.yaml:1: dataplane.workers: \"-1\" is not a whole number (1-64)");
	assert_refused("dataplane: {workers: 2x}\n", "x.yaml:1: dataplane.workers: \"2x\" is not a whole number (1-64)");
	assert_refused("dataplane: {workers: 1.5}\n", "x.yaml:1: dataplane.workers: \"1.5\" is not a whole number (1-64)");
	assert_refused("dataplane: {workers: 010}\n", "x.yaml:1: dataplane.workers: \"010\" is not a whole number (1-64)");
	assert_refused("dataplane: {workers: }\n", "x.yaml:1: dataplane.workers: \"\" is not a whole number (1-64)");
	assert_refused("dataplane: {workers: 99999999999999999999999}\n",
		       "x.yaml:1: dataplane.workers: 99999999999999999999999 is out of range (1-64)");
	assert_refused("dataplane: {workers: [1]}\n", "x.yaml:1: dataplane.workers: expected a single value");
	assert_refused("control:\n  devices_max: 9\n", "x.yaml:2: control.devices_max: 9 is out of range (1-8)");
}

static void
test_wrong_types(void **state)
{
	(void)state;
	assert_refused("control: {registration: treu}\n", "x.yaml:1: control.registration: \"treu\" is neither true nor false");
	assert_refused("dataplane: {poll: bussy}\n",
		       "x.yaml:1: dataplane.poll: \"bussy\" is none of adaptive, busy; did you mean \"busy\"?");
	assert_refused("log: {level: 7}\n", "x.yaml:1: log.level: \"7\" is none of error, warning, info, debug");
	assert_refused("control:\n", "x.yaml:1: control: expected keys and values (\"key: value\")");
	assert_refused("- a\n", "x.yaml:1: configuration: expected keys and values (\"key: value\")");
	assert_refused("dataplane:\n  eal: --in-memory\n", "x.yaml:2: dataplane.eal: expected a list (\"[a, b]\" or \"- a\")");
	assert_refused("state_dir: \"a\\0b\"\n", "x.yaml:1: state_dir: holds a NUL byte");
	assert_refused("state_dir: &a /x\nruntime_dir: *a\n",
		       "x.yaml:2: aliases (\"*name\") are not read; write the value out");
}

static void
test_no_yaml(void **state)
{
	(void)state;
	assert_refused("log:\n  level: [info\n", "x.yaml:3: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence");
	assert_refused("log: {}\n\tx: 1\n",
		       "x.yaml:2: not valid YAML: found character that cannot start any token while scanning for the next token");
	assert_refused("log: {}\nx: \xff\n", "x.yaml:2: not valid YAML: invalid leading UTF-8 octet");
	assert_refused("log: {}\n---\nlog: {}\n", "x.yaml:3: a second document (\"---\"); only one is read");
}

static void
test_wrong_combinations(void **state)
{
	(void)state;
	assert_refused("session:\n  heartbeat_ms: 60000\n",
		       "x.yaml:2: session.timeout_ms: 60000 must be larger than session.heartbeat_ms (60000)");
	assert_refused("session:\n  heartbeat_ms: 100\n  timeout_ms: 100\n",
		       "x.yaml:3: session.timeout_ms: 100 must be larger than session.heartbeat_ms (100)");
	assert_refused("dataplane:\n  workers: 2\n  cpus: 1-2\n",
		       "x.yaml:3: dataplane.cpus: names 2 CPUs; 2 workers and housekeeping need 3");
	assert_refused("dataplane: {cpus: 2-1}\n", "x.yaml:1: dataplane.cpus: \"2-1\" is no list of CPUs, as \"2,4-7\"");
	assert_refused("dataplane: {cpus: \"1,\"}\n", "x.yaml:1: dataplane.cpus: \"1,\" is no list of CPUs, as \"2,4-7\"");
	assert_refused("dataplane: {cpus: \"0-99999999999\"}\n",
		       "x.yaml:1: dataplane.cpus: \"0-99999999999\" is no list of CPUs, as \"2,4-7\"");
	assert_refused("log:\n  areas: [store=info, login=loud]\n",
		       "x.yaml:2: log.areas: \"login=loud\" is no area with a level, as \"session=debug\"");
	assert_refused("log: {areas: [login]}\n", "x.yaml:1: log.areas: \"login\" is no area with a level, as \"session=debug\"");
	assert_refused("log: {areas: [lgoin=info]}\n", "x.yaml:1: log.areas: \"lgoin\" is no area; did you mean \"login\"?");
	assert_refused("metrics:\n  listen: 0.0.0.0:8001\n",
		       "x.yaml:2: metrics.listen: 0.0.0.0:8001 can be reached from other machines: set metrics.token_file, too");
	assert_refused("metrics:\n  listen: localhost:8001\n",
		       "x.yaml:2: metrics.listen: \"localhost:8001\" is no address, as \"127.0.0.1:8001\"");
	config_free(load("metrics: {listen: \"[::1]:8001\"}\n"));
	config_free(load("metrics: {listen: 0.0.0.0:8001, token_file: /etc/token}\n"));
	config_free(load("log: {format: json, areas: [dpdk=error]}\n"));
	assert_refused("dataplane:\n  ports: []\n", "x.yaml:2: dataplane.ports: at least one port is needed");
	assert_refused("runtime_dir: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123\n",
		       "x.yaml:1: runtime_dir: \"/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123\" is too long for the sockets in it (at most 93 bytes); set a shorter runtime_dir");
}

#define PORT(text) "dataplane:\n  workers: 2\n  ports:\n    - type: " text

static void
test_wrong_ports(void **state)
{
	(void)state;
	assert_refused(PORT("socket\n"),
		       "x.yaml:4: dataplane.ports.listen: \"\" is no address, as \"127.0.0.1:8000\" or \"[::]:8000\"");
	assert_refused(PORT("socket\n      listen: localhost:8000\n"),
		       "x.yaml:5: dataplane.ports.listen: \"localhost:8000\" is no address, as \"127.0.0.1:8000\" or \"[::]:8000\"");
	assert_refused(PORT("socket\n      listen: 127.0.0.1:0\n"),
		       "x.yaml:5: dataplane.ports.listen: \"127.0.0.1:0\" is no address, as \"127.0.0.1:8000\" or \"[::]:8000\"");
	assert_refused(PORT("socket\n      listen: 127.0.0.1\n      mtu: 1500\n"),
		       "x.yaml:6: dataplane.ports.mtu: belongs to type ethdev; type socket has only listen");
	assert_refused(PORT("ethdev\n      listen: 127.0.0.1\n"),
		       "x.yaml:5: dataplane.ports.listen: belongs to type socket; type ethdev has addresses and udp_port");
	assert_refused("dataplane:\n  ports:\n    - listen: 127.0.0.1\n", "x.yaml:3: dataplane.ports: key \"type\" is missing");
	assert_refused(PORT("ethdev\n"),
		       "x.yaml:4: dataplane.ports.devices: 0 given; one for all workers, or one for each of the 2 workers");
	assert_refused("dataplane:\n  workers: 3\n  ports:\n    - {type: ethdev, devices: [a, b]}\n",
		       "x.yaml:4: dataplane.ports.devices: 2 given; one for all workers, or one for each of the 3 workers");
	assert_refused(PORT("ethdev\n      devices: [a]\n"),
		       "x.yaml:4: dataplane.ports.addresses: an ethdev port needs at least one, as \"10.0.0.1/24\"");
	assert_refused(PORT("ethdev\n      devices: [a]\n      addresses:\n        - 10.0.0.1/24\n        - 10.0.0.2\n"),
		       "x.yaml:8: dataplane.ports.addresses: \"10.0.0.2\" is no address with a prefix length, as \"10.0.0.1/24\" or \"fd00::1/64\"");
	assert_refused(PORT("ethdev\n      devices: [a]\n      addresses: [fd00::1/129]\n"),
		       "x.yaml:6: dataplane.ports.addresses: \"fd00::1/129\" is no address with a prefix length, as \"10.0.0.1/24\" or \"fd00::1/64\"");
	assert_refused(PORT("ethdev\n      devices: [a]\n      addresses: [10.0.0.1/24]\n      gateway: fd00::1\n"),
		       "x.yaml:7: dataplane.ports.gateway: \"fd00::1\" is no IPv4 address");
	assert_refused(PORT("ethdev\n      devices: [a]\n      addresses: [10.0.0.1/24]\n      gateway6: 10.0.0.1\n"),
		       "x.yaml:7: dataplane.ports.gateway6: \"10.0.0.1\" is no IPv6 address");
}

static void
test_error_fits_any_buffer(void **state)
{
	static const char text[] = "dataplane:\n  workres: 2\n";
	struct config *c;

	(void)state;
	for (size_t cap = 0; cap < 100; cap++) {
		char *small = malloc(cap + 1);

		small[cap] = '#';
		assert_int_equal(config_load_text(&c, "x.yaml", text, strlen(text), NULL, small, cap), -EINVAL);
		assert_int_equal(small[cap], '#');
		assert_true(cap == 0 || strlen(small) < cap);
		free(small);
	}
}

/* ---- files -------------------------------------------------------------------------- */

static void
test_files(void **state)
{
	char dir[] = "/tmp/rookery-test-config-XXXXXX";
	char path[64], expected[200];
	struct config *c;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r.yaml", dir);
	assert_int_equal(config_load(&c, path, NULL, error, sizeof(error)), -ENOENT);
	snprintf(expected, sizeof(expected), "%s: cannot be read: No such file or directory", path);
	assert_string_equal(error, expected);
	assert_int_equal(config_load(&c, dir, NULL, error, sizeof(error)), -EISDIR);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("dataplane:\n  workers: 7\n", f);
	fclose(f);
	assert_int_equal(config_load(&c, path, NULL, error, sizeof(error)), 0);
	assert_int_equal(c->dataplane.workers, 7);
	config_free(c);
	unlink(path);
	rmdir(dir);
}

static void
test_directories_are_made(void **state)
{
	char dir[] = "/tmp/rookery-test-config-XXXXXX";
	char inner[64], path[128];
	struct config *c;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(inner, sizeof(inner), "%s/a/b", dir);
	assert_int_equal(config_load(&c, NULL, inner, error, sizeof(error)), 0);
	for (unsigned i = 0; i < 2; i++) { /* the second time they are there */
		assert_int_equal(config_make_dirs(c, NULL, error, sizeof(error)), 0);
		assert_int_equal(stat(config_runtime_path(c, "", path, sizeof(path)), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(stat(inner, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
	}
	assert_string_equal(config_state_path(c, "rookery.db", path, sizeof(path)) + strlen(dir), "/a/b/rookery.db");
	assert_string_equal(config_runtime_path(c, "rings.shm", path, sizeof(path)) + strlen(dir), "/a/b/run/rings.shm");
	assert_null(config_runtime_path(c, "rings.shm", path, 10));
	config_free(c);
	snprintf(path, sizeof(path), "%s/run", inner);
	rmdir(path);
	rmdir(inner);
	snprintf(path, sizeof(path), "%s/a", dir);
	rmdir(path);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_a_file_in_the_way(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(config_load(&c, NULL, "/dev/null/rookery", error, sizeof(error)), 0);
	assert_int_equal(config_make_dirs(c, NULL, error, sizeof(error)), -ENOTDIR);
	assert_string_equal(error, "state_dir: cannot make /dev/null/rookery: Not a directory; choose another with --state or in the configuration");
	config_free(c);
	assert_int_equal(config_load(&c, NULL, "/dev/null", error, sizeof(error)), 0);
	assert_int_equal(config_make_dirs(c, NULL, error, sizeof(error)), -ENOTDIR);
	assert_string_equal(error, "state_dir: /dev/null is not a directory");
	config_free(c);
}

static void
test_replay_check(void **state)
{
	static const char *const allowed[] = {
		"type: socket, listen: \"127.0.0.1:8000\"", "type: socket, listen: \"[::1]:8000\"",
		"type: ethdev, devices: [\"net_pcap0,rx_pcap=x\"], addresses: [10.0.0.1/24]",
		"type: ethdev, devices: [\"net_vhost0,iface=/tmp/s\"], addresses: [10.0.0.1/24]",
	};
	static const char *const refused[] = {
		"type: socket, listen: \"0.0.0.0:8000\"", "type: socket, listen: \"192.0.2.1:8000\"",
		"type: ethdev, devices: [\"0000:03:00.0\"], addresses: [10.0.0.1/24]",
		"type: ethdev, devices: [\"net_pcap0,iface=eth0\"], addresses: [10.0.0.1/24]",
		"type: ethdev, devices: [\"net_virtio_user0,path=/dev/vhost-net\"], addresses: [10.0.0.1/24]",
		"type: ethdev, devices: [\"net_af_packet0,iface=eth0\"], addresses: [10.0.0.1/24]",
	};
	char text[512];

	(void)state;
	for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		struct config *c;

		snprintf(text, sizeof(text), "dataplane: {replay_check: false, ports: [{%s}]}\n", allowed[i]);
		c = load(text);
		assert_false(c->dataplane.replay_check);
		config_free(c);
	}
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		snprintf(text, sizeof(text), "dataplane: {replay_check: false, ports: [{%s}]}\n", refused[i]);
		assert_refused(text, "x.yaml:1: dataplane.replay_check: false is for benchmarks; port 0 can be reached from outside this "
				     "machine's memory, so it must be true");
	}
}

/* From process to process, and what another process might have written there instead. */
static void
test_values_packed(void **state)
{
	struct config_values v = {0}, back;
	char packed[64];
	size_t n;

	(void)state;
	assert_int_equal(config_values_add(&v, "dataplane.workers", "2"), 0);
	assert_int_equal(config_values_add(&v, "dataplane.cpus", ""), 0);
	assert_int_equal(config_values_pack(&v, packed, 35), 0);
	n = config_values_pack(&v, packed, 36);
	assert_int_equal(n, 36);
	assert_int_equal(config_values_unpack(&back, packed, n), 0);
	assert_int_equal(back.count, 2);
	assert_string_equal(config_values_find(&back, "dataplane.workers"), "2");
	assert_string_equal(config_values_find(&back, "dataplane.cpus"), "");
	config_values_free(&back);
	assert_int_equal(config_values_unpack(&back, packed, 0), 0);
	assert_int_equal(back.count, 0);
	for (size_t cut = 1; cut < n; cut++) {
		int rc = config_values_unpack(&back, packed, cut);

		assert_int_equal(rc, cut == 20 ? 0 : -EINVAL); /* behind the first value */
		config_values_free(&back);
	}
	config_values_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_packed),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_default_names_every_key),
		cmocka_unit_test(test_replay_check),
		cmocka_unit_test(test_every_key_is_described),
		cmocka_unit_test(test_examples_are_read),
		cmocka_unit_test(test_production_examples),
		cmocka_unit_test(test_empty_file_is_the_default),
		cmocka_unit_test(test_file_overrides_single_keys),
		cmocka_unit_test(test_list_replaces_the_default),
		cmocka_unit_test(test_paths_are_expanded),
		cmocka_unit_test(test_state_dir_on_the_command_line_wins),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_wrong_numbers),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_no_yaml),
		cmocka_unit_test(test_wrong_combinations),
		cmocka_unit_test(test_wrong_ports),
		cmocka_unit_test(test_error_fits_any_buffer),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_directories_are_made),
		cmocka_unit_test(test_a_file_in_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
