/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/cli.h"
#include "control/cli/client.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the build and the shells ask for: `--generate man`, `--complete WORD...`. */
static int
run_hidden(struct cli *cli, int argc, char **argv)
{
	if (strcmp(argv[1], "--complete") == 0)
		return cli_complete_for_shell(cli, argc - 2, argv + 2);
	if (argc != 3 || cli_generate(cli->out, argv[2]) < 0)
		return cli_fail(CLI_USAGE, "--generate takes man, bash, zsh or markdown");
	return CLI_OK;
}

static int
run(struct cli *cli, int argc, char **argv)
{
	char error[512];
	if (argc > 1 && (strcmp(argv[1], "--complete") == 0 || strcmp(argv[1], "--generate") == 0))
		return run_hidden(cli, argc, argv);
	if (cli_parse(cli, argc, argv, error, sizeof(error)) < 0)
		return cli_fail(CLI_USAGE, "%s", error);
	if (cli->version)
		return puts("rookctl " ROOKERY_VERSION) < 0 ? CLI_REFUSED : CLI_OK;
	cli_find_server(cli);
	if (cli->command || cli->help)
		return cli_run(cli);
	if (cli->file)
		return cli_batch(cli, cli->file, cli->stop_on_error);
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return cli_interactive(cli);
	return cli_fail(CLI_USAGE, "no command given; `rookctl --help` lists them");
}

int
main(int argc, char **argv)
{
	struct cli cli = {.out = stdout};
	struct client client = {.fd = -1};
	const struct rlimit none = {0};
	setrlimit(RLIMIT_CORE, &none); /* passwords pass through here */
	cli.client = &client;
	umask(077); /* backups and the history */
	int status = run(&cli, argc, argv);
	client_close(&client);
	/* A full disk or a closed pipe must not look like success to a script. */
	if (status == CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
		return cli_fail(CLI_REFUSED, "cannot write the output: %s", strerror(errno));
	return status;
}
