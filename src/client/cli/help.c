/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/help.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "core/alloc.h"

#define TEXT_WIDTH   80
#define TABLE_WIDTH  100
#define OPTION_WIDTH 34

static const struct argp_option common_options[] = {
	{"output", KEY_OUTPUT, "FORMAT", 0, "default, or one document on stdout: json, yaml", 1},
	{"help", KEY_HELP, NULL, 0, "Show this help", 1},
};

static const char description[] =
	"Joins this machine to the network of a Kubernetes cluster: services and pods answer by "
	"name and address, as they do inside. The cluster's side (the traffic-manager) is "
	"installed by the first command that needs it, if you may.";

static const struct {
	int status;
	const char *meaning;
} exit_statuses[] = {
	{0, "success"},
	{1, "an internal error, or one that has no class of its own"},
	{2, "the command line is wrong"},
	{3, "a configuration or kubeconfig file is wrong"},
	{4, "the credentials were refused"},
	{5, "something that was named does not exist"},
	{6, "a conflict with what is there already"},
	{7, "somebody did not answer, or not in time"},
	{8, "not permitted, by the cluster or by the operating system"},
	{9, "this kernel or cluster cannot do it"},
};

struct argp_option *help_options(const struct command *command)
{
	size_t max = connect_field_count + ARRAY_SIZE(common_options) + 1, count = 0;
	struct argp_option *options;

	for (const struct argp_option *own = command->options; own && own->name; own++)
		max++;
	options = xcalloc(max, sizeof(*options));
	for (const struct argp_option *own = command->options; own && own->name; own++)
		options[count++] = *own;
	for (size_t i = 0; command->kube_flags && i < connect_field_count; i++) {
		const struct connect_field *field = &connect_fields[i];

		options[count++] = (struct argp_option){.name = field->name,
			.key = field->key,
			.arg = field->value,
			.flags = field->doc ? 0 : OPTION_HIDDEN,
			.doc = field->doc};
	}
	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		options[count++] = common_options[i];
	return options;
}

/* Words of text, wrapped; each line but the first, which may have begun, after `indent` spaces. */
static void print_wrapped(struct cli *cli, const char *text, int indent, int width)
{
	int column = indent;

	while (*text) {
		int len = (int)strcspn(text, " ");
		bool begins = column == indent;

		if (!begins && column + 1 + len > width) {
			cli_print(cli, "\n%*s", indent, "");
			column = indent;
			begins = true;
		}
		cli_print(cli, "%s%.*s", begins ? "" : " ", len, text);
		column += len + !begins;
		text += len + (text[len] == ' ');
	}
	cli_print(cli, "\n");
}

static void format_option(const struct argp_option *option, char *out, size_t size)
{
	bool has_short = option->key > ' ' && option->key < 127;
	char letter[] = {'-', (char)option->key, ',', ' ', '\0'};

	bool optional = option->flags & OPTION_ARG_OPTIONAL;

	(void)snprintf(out, size, "%s--%s%s%s%s", has_short ? letter : "", option->name,
		!option->arg ? ""
		: optional   ? "[="
			     : " ",
		option->arg ? option->arg : "", option->arg && optional ? "]" : "");
}

void help_overview(struct cli *cli)
{
	cli_print(cli, "Usage: telepresence COMMAND [OPTION...]\n\n");
	print_wrapped(cli, description, 0, TEXT_WIDTH);
	cli_print(cli, "\nCommands:\n");
	for (size_t i = 0; i < command_count; i++) {
		if (!commands[i]->hidden)
			cli_print(cli, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	}
	cli_print(cli, "\nOptions of every command:\n"
		       "  --output default|json|yaml\n  --help\n"
		       "\n'telepresence help COMMAND' explains one command.\n\nExit status:\n");
	for (size_t i = 0; i < ARRAY_SIZE(exit_statuses); i++)
		cli_print(cli, "  %d  %s\n", exit_statuses[i].status, exit_statuses[i].meaning);
}

void help_command(struct cli *cli, const struct command *command)
{
	auto_free struct argp_option *options = help_options(command);

	cli_print(cli, "Usage: telepresence %s [OPTION...]%s%s%s\n\n", command->name,
		command->operand ? " " : "", command->operand ? command->operand : "",
		command->runs_child ? " [-- CMD ARGS...]" : "");
	print_wrapped(
		cli, command->description ? command->description : command->summary, 0, TEXT_WIDTH);
	cli_print(cli, "\nOptions:\n");
	for (const struct argp_option *option = options; option->name; option++) {
		char text[64];

		if (option->flags & OPTION_HIDDEN)
			continue;
		format_option(option, text, sizeof(text));
		cli_print(cli, "  %-*s ", OPTION_WIDTH, text);
		print_wrapped(cli, option->doc, OPTION_WIDTH + 3, TABLE_WIDTH);
	}
}

/* Text of a man page: a leading dot or quote and every dash and backslash are escaped. */
static void print_roff(struct cli *cli, const char *text)
{
	if (*text == '.' || *text == '\'')
		cli_print(cli, "\\&");
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			cli_print(cli, "\\");
		cli_print(cli, "%c", *text);
	}
}

static void man_command(struct cli *cli, const struct command *command)
{
	auto_free struct argp_option *options = help_options(command);

	cli_print(cli, ".SS telepresence %s%s%s%s\n", command->name, command->operand ? " " : "",
		command->operand ? command->operand : "",
		command->runs_child ? " [\\-\\- CMD ARGS...]" : "");
	print_roff(cli, command->description ? command->description : command->summary);
	cli_print(cli, "\n");
	for (const struct argp_option *option = options; option->name; option++) {
		char text[64];

		if (option->flags & OPTION_HIDDEN || option->key == KEY_HELP)
			continue;
		format_option(option, text, sizeof(text));
		cli_print(cli, ".TP\n.B ");
		print_roff(cli, text);
		cli_print(cli, "\n");
		print_roff(cli, option->doc);
		cli_print(cli, "\n");
	}
}

void help_man_page(struct cli *cli)
{
	cli_print(cli,
		".TH TELEPRESENCE 1 \"\" \"telepresence %s\"\n.SH NAME\n"
		"telepresence \\- work on a Kubernetes service from a laptop\n.SH SYNOPSIS\n"
		".B telepresence\n.I COMMAND\n[\\fIOPTION\\fR...]\n.SH DESCRIPTION\n",
		TP_VERSION);
	print_roff(cli, description);
	cli_print(cli, "\n.SH COMMANDS\n");
	for (size_t i = 0; i < command_count; i++) {
		if (!commands[i]->hidden)
			man_command(cli, commands[i]);
	}
	cli_print(cli, ".SH \"EXIT STATUS\"\n");
	for (size_t i = 0; i < ARRAY_SIZE(exit_statuses); i++) {
		cli_print(cli, ".TP\n%d\n", exit_statuses[i].status);
		print_roff(cli, exit_statuses[i].meaning);
		cli_print(cli, "\n");
	}
	cli_print(cli, ".SH ENVIRONMENT\n.TP\nKUBECONFIG\nKubeconfig files, separated by colons.\n"
		       ".TP\nTELEPRESENCE_MANAGER_NAMESPACE\nNamespace of the traffic\\-manager.\n"
		       ".SH FILES\n.TP\n~/.cache/telepresence/userd.log, rootd.log\n"
		       "What the daemons have to say.\n.SH \"SEE ALSO\"\n.BR kubectl (1)\n");
}
