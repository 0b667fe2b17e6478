/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables in the documents that are made of tables in the code. Between the lines "<!-- NAME: ARGUMENT -->" and
 * "<!-- end -->" stands what the writer of NAME printed.
 */
#ifndef ROOKERY_DOCS_PAGE_H
#define ROOKERY_DOCS_PAGE_H

#include "shared/config_parse.h"

#include <stdio.h>

/* Prints the table for argument. Returns 0, or -EINVAL with a line on standard error. */
typedef int (*page_writer)(FILE *out, const char *argument);

/* config_page.c. After the last page: -EINVAL if a key stands in no table or in two. */
int config_page(FILE *out, const char *argument);
int config_page_complete(void);

/* The default of a key, as Markdown; doc is config/default.yaml. */
int config_default_print(FILE *out, yaml_document_t *doc, const struct config_key *key);

/* What brings a change of the key into force: "reload", "dataplane", ...; docs/configuration.md explains the words. */
const char *config_change_takes(const char *key);

/* config_man.c: the man page. Returns 0 or -errno. */
int config_man(FILE *out);

/* logs_page.c */
int logs_page(FILE *out, const char *argument);

/* metrics_page.c */
int metrics_page(FILE *out, const char *argument);
/* Is every "rookery_..." in the file a metric? Returns 0, or -errno with lines on standard error. */
int metrics_names_check(const char *path);

#endif
