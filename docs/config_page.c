// SPDX-License-Identifier: BSD-3-Clause
/* Markers "keys: PREFIX [KEY...]": the keys of a section ("-": those outside of any), or those named. */
#include "docs/page.h"

#include "control/reload.h"
#include "shared/config_default.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 512

static unsigned shown[KEYS_MAX];

static void
print_scalar(FILE *out, const struct config_key *key, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	if (key->is_number)
		fputs(text, out);
	else if (text[0] == '\0')
		fputs("`\"\"`", out);
	else
		fprintf(out, "`%s`", text);
}

/* A list of structures does not fit into a cell: what it holds is told by its first entry's keys. */
static void
print_list(FILE *out, yaml_document_t *doc, yaml_node_t *node)
{
	yaml_node_t *item = config_item(doc, node, 0);

	if (item == NULL) {
		fputs("`[]`", out);
	} else if (item->type == YAML_MAPPING_NODE) {
		yaml_node_t *type = config_node(doc, item, "type"), *listen = config_node(doc, item, "listen");

		fprintf(out, "one %s port%s%s", type == NULL ? "" : (const char *)type->data.scalar.value,
			listen == NULL ? "" : " at ", listen == NULL ? "" : (const char *)listen->data.scalar.value);
	} else {
		for (unsigned i = 0; (item = config_item(doc, node, i)) != NULL; i++)
			fprintf(out, "%s`%s`", i == 0 ? "" : ", ", (const char *)item->data.scalar.value);
	}
}

int
config_default_print(FILE *out, yaml_document_t *doc, const struct config_key *key)
{
	yaml_node_t *node = yaml_document_get_root_node(doc);
	char path[128], *save = NULL;

	if (key->standard != NULL) {
		fprintf(out, strcmp(key->standard, "true") == 0 || strcmp(key->standard, "false") == 0 ? "`%s`" : "%s",
			key->standard);
		return 0;
	}
	snprintf(path, sizeof(path), "%s", key->path);
	for (char *word = strtok_r(path, ".", &save); word != NULL; word = strtok_r(NULL, ".", &save))
		node = config_node(doc, node, word);
	if (node == NULL) {
		fprintf(stderr, "config/default.yaml lacks %s\n", key->path);
		return -EINVAL;
	}
	if (node->type == YAML_SEQUENCE_NODE)
		print_list(out, doc, node);
	else
		print_scalar(out, key, node);
	return 0;
}

const char *
config_change_takes(const char *key)
{
	switch (reload_outcome_of(key)) {
	case RELOAD_LIVE:
		return "reload";
	case RELOAD_DATAPLANE:
		return "dataplane";
	case RELOAD_CONTROL:
		return "control";
	case RELOAD_BOTH:
		return "both";
	default:
		return "stop";
	}
}

static int
print_key(FILE *out, yaml_document_t *doc, const struct config_key *key)
{
	int rc;

	fprintf(out, "| `%s` | ", key->path);
	rc = config_default_print(out, doc, key);
	fputs(" | ", out);
	if (key->is_number)
		fprintf(out, "%" PRIu64 "-%" PRIu64, key->min, key->max);
	for (size_t i = 0; i < key->word_count; i++)
		fprintf(out, "%s`%s`", i == 0 ? "" : ", ", key->words[i].str);
	if (key->range != NULL)
		fputs(key->range, out);
	fprintf(out, " | %s | %s | %s |\n", key->unit == NULL ? "" : key->unit, config_change_takes(key->path), key->meaning);
	return rc;
}

/* Is the key directly in the section (NULL: outside of any), and among the words if there are any? */
static bool
belongs(const struct config_key *key, const char *section, const char *words)
{
	size_t n = section == NULL ? 0 : strlen(section) + 1;
	const char *name = key->path + n;
	char wanted[64];

	if (n != 0 && (strncmp(key->path, section, n - 1) != 0 || key->path[n - 1] != '.'))
		return false;
	if (strchr(name, '.') != NULL)
		return false;
	snprintf(wanted, sizeof(wanted), " %s ", name);
	return words[0] == '\0' || strstr(words, wanted) != NULL;
}

int
config_page(FILE *out, const char *argument)
{
	struct config_error e = {.file = "config/default.yaml", .text = (char[512]){""}, .cap = 512};
	char section[64] = "", words[512] = "";
	size_t n = strcspn(argument, " ");
	yaml_document_t doc;
	unsigned rows = 0;
	int rc = config_check(&doc, CONFIG_DEFAULT_YAML, strlen(CONFIG_DEFAULT_YAML), &e);

	if (rc < 0) {
		fprintf(stderr, "%s\n", e.text);
		return rc;
	}
	snprintf(section, sizeof(section), "%.*s", (int)n, argument);
	if (argument[n] != '\0')
		snprintf(words, sizeof(words), "%s ", argument + n);
	fputs("| key | default | range | unit | change | meaning |\n|---|---|---|---|---|---|\n", out);
	for (size_t i = 0; config_keys[i].path != NULL && i < KEYS_MAX && rc == 0; i++) {
		if (!belongs(&config_keys[i], strcmp(section, "-") == 0 ? NULL : section, words))
			continue;
		rc = print_key(out, &doc, &config_keys[i]);
		shown[i]++;
		rows++;
	}
	yaml_document_delete(&doc);
	if (rc == 0 && rows == 0) {
		fprintf(stderr, "no keys for the marker \"keys: %s\"\n", argument);
		rc = -EINVAL;
	}
	return rc;
}

int
config_page_complete(void)
{
	int rc = 0;

	for (size_t i = 0; config_keys[i].path != NULL && i < KEYS_MAX; i++) {
		if (shown[i] == 1)
			continue;
		fprintf(stderr, "%s stands %s; see the markers \"<!-- keys: ... -->\"\n", config_keys[i].path,
			shown[i] == 0 ? "in no table" : "in two tables");
		rc = -EINVAL;
	}
	return rc;
}
