/* SPDX-License-Identifier: BSD-3-Clause */
/* rookctl host init and host fini. */
#include "control/cli/commands.h"
#include "control/cli/host_setup.h"

#include "shared/account.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What is printed: the commands that did it, or would. */
struct told {
	struct cli *cli;
	json_t *commands, *left;
};

static void
tell(struct told *t, const struct step *s, bool undo)
{
	char commands[512], *rest = commands, *line;
	step_commands(s, undo, commands, sizeof(commands));
	while ((line = strsep(&rest, "\n"))) {
		json_array_append_new(t->commands, json_string(line));
		if (!t->cli->json)
			fprintf(t->cli->out, "%s\n", line);
	}
}

static int
finish(struct told *t, int status, const char *error, const char *summary)
{
	if (t->cli->json) {
		print_json(t->cli, json_pack("{s:b, s:s, s:o, s:o}", "ok", status == CLI_OK, "error", error, "commands", t->commands, "left",
					     t->left));
	} else {
		if (status == CLI_OK)
			fprintf(t->cli->out, "%s\n", summary);
		json_decref(t->commands);
		json_decref(t->left);
	}
	return status == CLI_OK ? CLI_OK : cli_fail(status, "%s", error);
}

/* Whoever the server's processes become is to open the NIC, too. */
static int
wish_of(struct cli *cli, const struct config *c, struct host_wish *wish, char *error, size_t cap)
{
	struct account a;
	int rc = account_find(&a, c->security.user, error, cap);
	*wish = (struct host_wish){
		.force = cli_value(cli, "force"),
		.uid = a.change ? a.uid : 0,
		.gid = a.change ? a.gid : 0,
	};
	return rc;
}

/* The record first: a step that was begun is known to fini, whatever happens. */
static int
do_steps(struct told *t, const struct steps *plan, bool dry, char *error, size_t cap)
{
	struct steps record;
	int rc = dry ? 0 : steps_load(&record, "", error, cap);
	for (unsigned i = 0; rc == 0 && i < plan->count; i++) {
		const struct step *s = &plan->list[i];
		if (!dry) {
			if (record.count == STEPS_MAX) {
				snprintf(error, cap, HOST_RECORD " is full: rookctl host fini first");
				return -E2BIG;
			}
			record.list[record.count++] = *s;
			rc = steps_save(&record, "", error, cap);
		}
		if (rc == 0)
			tell(t, s, false);
		if (rc == 0 && !dry)
			rc = step_do(s, "", error, cap);
	}
	return rc;
}

int
run_host_init(struct cli *cli)
{
	struct told t = {.cli = cli};
	bool dry = cli_value(cli, "dry-run");
	char error[512] = "", summary[128];
	struct host_wish wish;
	struct steps plan;
	struct config *c;
	int rc = config_load(&c, cli->config, cli->state, error, sizeof(error));
	if (rc < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	if (!dry && geteuid() != 0) {
		config_free(c);
		return cli_fail(CLI_REFUSED, "host init needs root; --dry-run shows what it would do");
	}
	t.commands = json_array();
	t.left = json_array();
	rc = wish_of(cli, c, &wish, error, sizeof(error));
	if (rc == 0)
		rc = host_plan(&plan, "", c, &wish, error, sizeof(error));
	if (rc == 0)
		rc = do_steps(&t, &plan, dry, error, sizeof(error));
	config_free(c);
	if (rc == 0 && plan.count == 0)
		snprintf(summary, sizeof(summary), "nothing to do: the machine has what the configuration needs");
	else
		snprintf(summary, sizeof(summary), dry ? "nothing was done: --dry-run" : "done; `rookctl host fini` takes it back");
	return finish(&t, rc == 0 ? CLI_OK : CLI_REFUSED, error, summary);
}

int
run_host_fini(struct cli *cli)
{
	struct told t = {.cli = cli};
	bool dry = cli_value(cli, "dry-run"), any;
	char error[512] = "", summary[128] = "the machine is as it was before host init";
	struct steps record;
	int rc;
	if (!dry && geteuid() != 0)
		return cli_fail(CLI_REFUSED, "host fini needs root; --dry-run shows what it would do");
	t.commands = json_array();
	t.left = json_array();
	rc = steps_load(&record, "", error, sizeof(error));
	any = record.count > 0;
	if (rc == 0 && !dry)
		rc = steps_in_use(&record, "", error, sizeof(error));
	while (rc >= 0 && record.count > 0) {
		const struct step *s = &record.list[record.count - 1];
		tell(&t, s, true);
		rc = dry ? 0 : step_undo(s, "", error, sizeof(error));
		if (rc > 0) {
			json_array_append_new(t.left, json_string(error));
			if (!cli->json)
				fprintf(cli->out, "# %s\n", error);
		}
		if (rc >= 0)
			record.count--;
		if (rc >= 0 && !dry)
			rc = steps_save(&record, "", error, sizeof(error));
	}
	if (!any)
		strcpy(summary, "nothing to take back: host init did nothing since the last boot");
	else if (dry)
		strcpy(summary, "nothing was done: --dry-run");
	else if (json_array_size(t.left) > 0)
		snprintf(summary, sizeof(summary), "taken back, but for %zu of the steps: see the lines with #", json_array_size(t.left));
	return finish(&t, rc >= 0 ? CLI_OK : CLI_REFUSED, error, summary);
}
