/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/cli.h"
#include "control/cli/client.h"

#include <errno.h>
#include <string.h>

static int
show_help(const struct cli *cli)
{
	if (cli->command)
		cli_command_usage(stdout, cli->command);
	else if (cli->group)
		cli_group_usage(stdout, cli->group);
	else
		cli_usage(stdout);
	return CLI_OK;
}

int
main(int argc, char **argv)
{
	struct cli cli = {.out = stdout};
	struct client client = {.fd = -1};
	char error[512];
	cli.client = &client;
	if (argc == 1) {
		cli_usage(stderr);
		return CLI_USAGE;
	}
	if (cli_parse(&cli, argc, argv, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	int status = CLI_OK;
	if (cli.version)
		puts("rookctl " ROOKERY_VERSION);
	else if (cli.help)
		status = show_help(&cli);
	else
		status = cli.command->run(&cli);
	client_close(&client);
	/* A full disk or a closed pipe must not look like success to a script. */
	if (status == CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
		return cli_fail(CLI_USAGE, "cannot write the output: %s", strerror(errno));
	return status;
}
