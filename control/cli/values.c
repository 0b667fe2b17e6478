/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of results as people read them. */
#include "control/cli/commands.h"

#include <string.h>

const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

long long
number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

struct shown
show_number(const json_t *object, const char *key)
{
	struct shown n;
	snprintf(n.text, sizeof(n.text), "%lld", number_of(object, key));
	return n;
}

/* "2024-05-01T10:00:00.123Z" as "2024-05-01 10:00:00"; null as "never". */
struct shown
show_time(const json_t *object, const char *key)
{
	struct shown n = {"never"};
	const char *text = text_of(object, key);
	if (strlen(text) >= 19) {
		snprintf(n.text, sizeof(n.text), "%.19s", text);
		n.text[10] = ' ';
	}
	return n;
}

void
show_duration(FILE *out, long long s)
{
	if (s >= 86400)
		fprintf(out, "%lld d %lld h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		fprintf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		fprintf(out, "%lld min %lld s", s / 60, s % 60);
	else
		fprintf(out, "%lld s", s);
}

int
print_json(struct cli *cli, json_t *result)
{
	/* Of a stream each is one line. 0.992, not 0.99199999999999999. */
	json_dumpf(result, cli->out, (cli->watch ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(9));
	fputc('\n', cli->out);
	json_decref(result);
	return CLI_OK;
}
