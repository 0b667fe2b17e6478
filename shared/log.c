// SPDX-License-Identifier: BSD-3-Clause
#include "shared/log.h"

#include "shared/log_settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048
#define VALUE_MAX 400 /* bytes of a value or message; longer ones are cut */

/* ---- how often ------------------------------------------------------------------------- */

bool
log_site_pass(struct log_site *site, uint64_t now_ms, uint32_t *suppressed)
{
	uint64_t next_ms = __atomic_load_n(&site->next_ms, __ATOMIC_RELAXED);

	if (next_ms < now_ms)
		next_ms = now_ms;
	if (next_ms - now_ms >= LOG_SITE_BURST * LOG_SITE_GAP_MS) {
		__atomic_fetch_add(&site->suppressed, 1, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_store_n(&site->next_ms, next_ms + LOG_SITE_GAP_MS, __ATOMIC_RELAXED);
	*suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
	return true;
}

/* ---- the line -------------------------------------------------------------------------- */

struct text {
	char *data;
	size_t size;
	size_t length; /* less than size */
};

static void
put(struct text *t, char c)
{
	if (t->length + 1 < t->size)
		t->data[t->length++] = c;
}

static void
put_text(struct text *t, const char *text)
{
	for (; *text != '\0'; text++)
		put(t, *text);
}

/* Bytes of the UTF-8 character at p, 0 if it is none (RFC 3629). */
static size_t
utf8_length(const unsigned char *p)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)))
		return 0;
	if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return 0;
	return n;
}

/* Names and addresses from outside end up in values: they must forge neither a second line nor another key. */
static void
put_quoted(struct text *t, const char *value)
{
	const unsigned char *p = (const unsigned char *)value;

	put(t, '"');
	while (*p != '\0') {
		size_t n = utf8_length(p);

		if (n == 0 || *p < 0x20 || *p == 0x7f) {
			put(t, '?');
			p++;
			continue;
		}
		if (*p == '"' || *p == '\\')
			put(t, '\\');
		for (; n > 0; n--)
			put(t, (char)*p++);
	}
	put(t, '"');
}

enum value_kind { VALUE_WORD, VALUE_NUMBER, VALUE_TEXT };

/* Adds a key with its value, or nothing if they do not fit: what is there stays well-formed. */
static void
put_field(struct text *line, const char *key, size_t key_length, const char *value, enum value_kind kind)
{
	char data[LINE_SIZE];
	struct text t = {.data = data, .size = sizeof(data)};
	bool json = log_settings.format == LOG_FORMAT_JSON;

	if (json)
		put_text(&t, line->length > 1 ? ",\"" : "\"");
	else if (line->length > 0)
		put(&t, ' ');
	for (size_t i = 0; i < key_length; i++)
		put(&t, key[i]);
	put_text(&t, json ? "\":" : "=");
	/* A word stays bare in logfmt unless that would change what it says. */
	if (kind == VALUE_NUMBER || (kind == VALUE_WORD && !json && value[0] != '\0' && strpbrk(value, " \"=\\") == NULL))
		put_text(&t, value);
	else
		put_quoted(&t, value);
	if (t.length + 3 > line->size - line->length)
		return;
	for (size_t i = 0; i < t.length; i++)
		put(line, (unsigned char)data[i] < 0x20 || data[i] == 0x7f ? '?' : data[i]);
}

/* ---- conversions ------------------------------------------------------------------------- */

struct arguments {
	va_list list;
};

static void
signed_add(char *out, size_t cap, const char *spec, const char *length, struct arguments *a)
{
	if (strcmp(length, "ll") == 0)
		snprintf(out, cap, spec, va_arg(a->list, long long));
	else if (strcmp(length, "l") == 0)
		snprintf(out, cap, spec, va_arg(a->list, long));
	else if (strcmp(length, "z") == 0)
		snprintf(out, cap, spec, va_arg(a->list, ssize_t));
	else if (strcmp(length, "j") == 0)
		snprintf(out, cap, spec, va_arg(a->list, intmax_t));
	else if (strcmp(length, "t") == 0)
		snprintf(out, cap, spec, va_arg(a->list, ptrdiff_t));
	else
		snprintf(out, cap, spec, va_arg(a->list, int));
}

static void
unsigned_add(char *out, size_t cap, const char *spec, const char *length, struct arguments *a)
{
	if (strcmp(length, "ll") == 0)
		snprintf(out, cap, spec, va_arg(a->list, unsigned long long));
	else if (strcmp(length, "l") == 0)
		snprintf(out, cap, spec, va_arg(a->list, unsigned long));
	else if (strcmp(length, "z") == 0)
		snprintf(out, cap, spec, va_arg(a->list, size_t));
	else if (strcmp(length, "j") == 0)
		snprintf(out, cap, spec, va_arg(a->list, uintmax_t));
	else
		snprintf(out, cap, spec, va_arg(a->list, unsigned));
}

/* Copies digits, or the argument that "*" stands for, into the conversion. */
static const char *
number_take(const char *p, struct text *spec, struct arguments *a)
{
	char digits[16];

	if (*p == '*') {
		snprintf(digits, sizeof(digits), "%d", va_arg(a->list, int));
		put_text(spec, digits);
		return p + 1;
	}
	while (*p >= '0' && *p <= '9')
		put(spec, *p++);
	return p;
}

/* One conversion at p ("%5.3lu"): each argument is taken from the list once, alone, so that its text can be escaped alone.
 * Returns what follows; *number: a whole decimal number. */
static const char *
conversion_add(const char *p, struct arguments *a, char *out, size_t cap, bool *number)
{
	char data[64], length[3] = "";
	struct text spec = {.data = data, .size = sizeof(data) - 1};

	put(&spec, *p++);
	while (*p != '\0' && strchr("-+ #0", *p) != NULL)
		put(&spec, *p++);
	p = number_take(p, &spec, a);
	if (*p == '.') {
		put(&spec, *p++);
		p = number_take(p, &spec, a);
	}
	for (size_t i = 0; i < 2 && *p != '\0' && strchr("hlzjt", *p) != NULL; i++) {
		length[i] = *p;
		put(&spec, *p++);
	}
	put(&spec, *p);
	data[spec.length] = '\0';
	*number = *p == 'd' || *p == 'i' || *p == 'u';
	switch (*p) {
	case 'd':
	case 'i':
		signed_add(out, cap, data, length, a);
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		unsigned_add(out, cap, data, length, a);
		break;
	case 'c':
		snprintf(out, cap, data, va_arg(a->list, int));
		break;
	case 's':
		snprintf(out, cap, data, va_arg(a->list, const char *));
		break;
	case 'p':
		snprintf(out, cap, data, va_arg(a->list, void *));
		break;
	case 'f':
	case 'e':
	case 'g':
		snprintf(out, cap, data, va_arg(a->list, double));
		break;
	default: /* "%%", and the end of the format */
		snprintf(out, cap, "%c", *p);
		break;
	}
	return *p == '\0' ? p : p + 1;
}

/* A value of the format: up to its closing quote, or to a space. Returns what follows. */
static const char *
value_take(const char *p, struct arguments *a, char value[VALUE_MAX], enum value_kind *kind)
{
	struct text t = {.data = value, .size = VALUE_MAX};
	bool quoted = *p == '"', number, all_number = false;
	char part[VALUE_MAX];
	unsigned parts = 0;

	if (quoted)
		p++;
	while (*p != '\0' && *p != (quoted ? '"' : ' ')) {
		if (*p == '%') {
			p = conversion_add(p, a, part, sizeof(part), &number);
			put_text(&t, part);
			all_number = number && parts == 0;
		} else {
			put(&t, *p++);
			all_number = false;
		}
		parts++;
	}
	value[t.length] = '\0';
	*kind = quoted ? VALUE_TEXT : all_number && parts == 1 ? VALUE_NUMBER : VALUE_WORD;
	return quoted && *p == '"' ? p + 1 : p;
}

static void
put_fields(struct text *line, const char *fields, struct arguments *a)
{
	char value[VALUE_MAX];
	enum value_kind kind;

	while (*fields != '\0') {
		const char *key = fields;
		size_t n = strcspn(fields, "= %");

		if (*fields == ' ') {
			fields++;
			continue;
		}
		fields += n;
		/* Without a key: what the arguments make of it is no field. */
		if (*fields != '=') {
			fields = value_take(*fields == ' ' ? fields + 1 : fields, a, value, &kind);
			continue;
		}
		fields = value_take(fields + 1, a, value, &kind);
		put_field(line, key, n, value, kind);
	}
}

/* ---- write --------------------------------------------------------------------------------- */

static void
put_head(struct text *line, enum log_level level, enum log_area area, const char *message)
{
	char when[48], cut[VALUE_MAX];
	struct timespec now;
	struct tm tm;
	size_t n;

	if (!log_settings.journal) {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		n = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(when + n, sizeof(when) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
		put_field(line, "ts", 2, when, VALUE_WORD);
	}
	put_field(line, "level", 5, log_level_name[level], VALUE_WORD);
	put_field(line, "program", 7, log_settings.program, VALUE_WORD);
	put_field(line, "area", 4, log_area_name[area], VALUE_WORD);
	snprintf(cut, sizeof(cut), "%s", message);
	put_field(line, "msg", 3, cut, VALUE_TEXT);
}

static uint64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
log_write(struct log_site *site, enum log_level level, enum log_area area, const char *message, const char *fields, ...)
{
	static const char priority[] = {[LOG_LEVEL_ERROR] = '3', [LOG_LEVEL_WARNING] = '4', [LOG_LEVEL_INFO] = '6', [LOG_LEVEL_DEBUG] = '7'};
	char data[LINE_SIZE + 4], count[16];
	/* Room for the end is kept. */
	struct text line = {.data = data + 3, .size = LINE_SIZE - 2};
	uint32_t suppressed = 0;
	struct arguments a;
	char *start = line.data;

	if (level > log_level_of(area))
		return;
	if (site != NULL && level != LOG_LEVEL_DEBUG && !log_site_pass(site, monotonic_ms(), &suppressed))
		return;
	if (log_settings.format == LOG_FORMAT_JSON)
		put(&line, '{');
	put_head(&line, level, area, message);
	va_start(a.list, fields);
	put_fields(&line, fields, &a);
	va_end(a.list);
	if (suppressed != 0) {
		snprintf(count, sizeof(count), "%u", (unsigned)suppressed);
		put_field(&line, "suppressed", 10, count, VALUE_NUMBER);
	}
	if (log_settings.format == LOG_FORMAT_JSON)
		line.data[line.length++] = '}';
	line.data[line.length++] = '\n';
	if (log_settings.journal) {
		start = data;
		memcpy(data, (char[3]){'<', priority[level], '>'}, 3);
	}
	/* One write: lines of several threads and processes on one stderr do not mix. */
	if (write(STDERR_FILENO, start, line.length + (size_t)(line.data - start)) < 0)
		return;
}
