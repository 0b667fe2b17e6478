/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration as a list of keys and values, in the order of the file: to show it, and to compare two. */
#ifndef ROOKERY_SHARED_CONFIG_VALUES_H
#define ROOKERY_SHARED_CONFIG_VALUES_H

#include "shared/config.h"

struct config_value {
	char *key;  /* "dataplane.ports[0].listen"; a list of texts is one key */
	char *text; /* "8000", "true", "[\"a\", \"b\"]" */
};

struct config_values {
	struct config_value *list;
	unsigned count;
};

/* Returns 0 or -ENOMEM. */
int config_values_of(const struct config *c, struct config_values *out);
/* The whole configuration as YAML, to be freed; NULL without memory. */
char *config_yaml(const struct config *c);
/* Copies both. Returns 0 or -ENOMEM. */
int config_values_add(struct config_values *v, const char *key, const char *text);
/* NULL: no such key. */
const char *config_values_find(const struct config_values *v, const char *key);
/* "key", NUL, "text", NUL, and so on, for another process. Returns the bytes; 0: it does not fit. */
size_t config_values_pack(const struct config_values *v, char *out, size_t cap);
/* The way back. Returns 0, -EINVAL (not of that form) or -ENOMEM. */
int config_values_unpack(struct config_values *out, const char *packed, size_t length);
void config_values_free(struct config_values *v);

#endif
