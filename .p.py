p='tests/unit/shared/test_log.c'
s=open(p).read()
s=s.replace('''int
main(void)
{''','''static void
test_areas_have_levels_of_their_own(void **state)
{
	const char *line;
	char name[8];

	(void)state;
	log_open("rookery-test", LOG_LEVEL_INFO);
	assert_int_equal(log_set_level("login", LOG_LEVEL_DEBUG), 0);
	assert_int_equal(log_set_level("store", LOG_LEVEL_ERROR), 0);
	log_debug("login", "seen 1", "");
	log_debug("loginx", "hidden", "");
	log_warning("store", "hidden", "");
	log_error("store", "seen 2", "");
	assert_int_equal(log_set_level("store", LOG_LEVEL_WARNING), 0);
	log_warning("store", "seen 3", "");
	assert_int_equal(log_set_level("an area with far too long a name", LOG_LEVEL_DEBUG), -EINVAL);
	for (int i = 0; i < 14; i++) {
		snprintf(name, sizeof(name), "a%d", i);
		assert_int_equal(log_set_level(name, LOG_LEVEL_ERROR), 0);
	}
	assert_int_equal(log_set_level("one more", LOG_LEVEL_ERROR), -ENOSPC);
	assert_int_equal(log_set_level("login", LOG_LEVEL_ERROR), 0);
	/* All at once: nothing is left of the single ones. */
	assert_int_equal(log_set_level(NULL, LOG_LEVEL_INFO), 0);
	log_info("login", "seen 4", "");
	log_debug("login", "hidden", "");
	line = logged();
	assert_null(strstr(line, "hidden"));
	for (char c = '1'; c <= '4'; c++) {
		snprintf(name, sizeof(name), "seen %c", c);
		assert_non_null(strstr(line, name));
	}
}

int
main(void)
{''')
s=s.replace('''(test_long_line_is_cut_and_ends, capture, release),
''','''(test_long_line_is_cut_and_ends, capture, release),
		cmocka_unit_test_setup_teardown(test_areas_have_levels_of_their_own, capture, release),
''')
if '<errno.h>' not in s: s=s.replace('#include <setjmp.h>','#include <errno.h>\n#include <setjmp.h>',1)
open(p,'w').write(s)

p='tests/unit/control/test_admin.c'
s=open(p).read()
s=s.replace('''/* The tool and the server are built together''','''static void
write_config(const struct fixture *f, const char *text)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/my.yaml", f->dir);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* The change of this key, or NULL. */
static const json_t *
change_of(const json_t *result, const char *key)
{
	size_t i;
	const json_t *c;
	json_array_foreach(json_object_get(result, "changes"), i, c)
		if (strcmp(json_string_value(json_object_get(c, "key")), key) == 0)
			return c;
	return NULL;
}

static void
test_config(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	json_t *r = ask(f, fd, "config.show", "{}");
	assert_string_equal(string_at(r, "values", "control.buddies_max"), "2000");
	assert_string_equal(string_at(r, "values", "control.registration"), "true");
	assert_string_equal(string_at(r, "values", "log.level"), "info");
	assert_string_equal(string_at(r, "values", "dataplane.ports[0].listen"), "127.0.0.1:8000");
	assert_string_equal(string_at(r, "values", "dataplane.eal"), "[]");
	json_decref(r);

	/* A mistake changes nothing. */
	write_config(f, "control:\\n  buddies_max: 7\\n  registratoin: false\\n");
	ask_refused(f, fd, "config.reload", "{}", "invalid");
	assert_int_equal(f->config->control.buddies_max, 2000);

	write_config(f, "control: {buddies_max: 7, password_memory_kib: 1024, password_passes: 1}\\n"
			"dataplane:\\n  workers: 2\\n  ports:\\n    - {type: socket, listen: 127.0.0.1:8000}\\n"
			"    - {type: socket, listen: 127.0.0.1:8001}\\n");
	r = ask(f, fd, "config.reload", "{\\"dry_run\\":true}");
	assert_true(json_is_false(json_object_get(r, "applied")));
	assert_true(json_is_true(json_object_get(change_of(r, "control.buddies_max"), "live")));
	assert_int_equal(f->config->control.buddies_max, 2000);
	json_decref(r);
	r = ask(f, fd, "config.reload", "{}");
	const json_t *workers = change_of(r, "dataplane.workers");
	assert_true(json_is_false(json_object_get(workers, "live")));
	assert_string_equal(json_string_value(json_object_get(workers, "from")), "1");
	assert_string_equal(json_string_value(json_object_get(workers, "to")), "2");
	assert_string_equal(json_string_value(json_object_get(workers, "mend")), "rookctl restart dataplane");
	/* A port that only the file has. */
	const json_t *port = change_of(r, "dataplane.ports[1].listen");
	assert_non_null(port);
	assert_true(json_is_null(json_object_get(port, "from")));
	assert_null(change_of(r, "dataplane.ports[0].listen"));
	json_decref(r);
	assert_int_equal(f->config->control.buddies_max, 7);
	assert_int_equal(f->config->dataplane.workers, 1);
	r = ask(f, fd, "config.reload", "{}");
	assert_null(change_of(r, "control.buddies_max"));
	assert_non_null(change_of(r, "dataplane.workers"));
	json_decref(r);
	close(fd);
}

static void
test_log_level(void **state)
{
	struct fixture *f = *state;
	int fd = dial_and_greet(f);
	ask_ok(f, fd, "log.level", "{\\"level\\":\\"warning\\",\\"area\\":\\"login\\"}");
	ask_ok(f, fd, "log.level", "{\\"level\\":\\"error\\"}");
	ask_refused(f, fd, "log.level", "{\\"level\\":\\"loud\\"}", "invalid");
	ask_refused(f, fd, "log.level", "{\\"area\\":\\"login\\"}", "invalid");
	close(fd);
}

/* The tool and the server are built together''')
s=s.replace('''		TEST(test_methods),
''','''		TEST(test_config),
		TEST(test_log_level),
		TEST(test_methods),
''')
s=s.replace('''	struct admin *admin;
	unsigned wakes;''','''	struct admin *admin;
	struct admin_reload reload;
	char reload_path[64];
	unsigned wakes;''')
i=s.index('	struct admin_options o = {')
s=s[:i]+'''	snprintf(f->reload_path, sizeof(f->reload_path), "%s/my.yaml", f->dir);
	f->reload = (struct admin_reload){.config = f->config, .path = f->reload_path, .state = f->dir};
'''+s[i:].replace('	struct admin_options o = {','	struct admin_options o = {\n		.reload = &f->reload,',1)
open(p,'w').write(s)
