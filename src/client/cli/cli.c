/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/document.h"
#include "client/cli/help.h"
#include "client/cli/suggest.h"
#include "client/userd/proto.h"
#include "core/alloc.h"

/* Text of a result that goes into a JSON envelope. */
#define OUT_BYTES (1024 * 1024)

struct parse {
	struct cli *cli;
	const struct argp_option *options;
	struct err *err;
	bool help;
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

void cli_print(struct cli *cli, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (cli->format == OUTPUT_DEFAULT)
		(void)vfprintf(cli->stdout_taken ? stderr : stdout, fmt, args);
	else if (vasprintf(&text, fmt, args) >= 0)
		(void)!buf_append(&cli->out, text, strlen(text));
	va_end(args);
}

void cli_say(struct cli *cli, const char *fmt, ...)
{
	va_list args;

	if (cli->format != OUTPUT_DEFAULT)
		return;
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
}

void cli_result(struct cli *cli, json_object *result, bool bare)
{
	json_object_put(cli->result);
	cli->result = result;
	cli->bare = bare;
}

static bool find_format(const char *text, enum output_format *ret_format)
{
	static const char *const names[] = {
		[OUTPUT_DEFAULT] = "default", [OUTPUT_JSON] = "json", [OUTPUT_YAML] = "yaml"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum output_format)i;
			return true;
		}
	}
	return false;
}

static int set_format(struct cli *cli, const char *text, struct err *err)
{
	if (find_format(text, &cli->format))
		return 0;
	return err_set(err, -EINVAL, ERR_USAGE, "invalid output format \"%s\"", text);
}

static error_t set_kube_flag(struct parse *parse, int key, const char *arg)
{
	for (size_t i = 0; i < connect_field_count; i++) {
		if (connect_fields[i].key == key)
			return -connect_args_set(
				&parse->cli->args, &connect_fields[i], arg, parse->err);
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t take_operand(struct parse *parse, const char *arg)
{
	struct cli *cli = parse->cli;
	size_t max = cli->command->many_operands ? CLI_OPERANDS : cli->command->operand ? 1 : 0;

	if (cli->operand_count >= max)
		return -err_set(parse->err, -EINVAL, ERR_USAGE, "unexpected argument \"%s\"", arg);
	cli->operands[cli->operand_count++] = arg;
	return 0;
}

static bool takes_value_maybe(const struct command *command, int key)
{
	for (const struct argp_option *own = command->options; own && own->name; own++) {
		if (own->key == key)
			return own->flags & OPTION_ARG_OPTIONAL;
	}
	return false;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parse *parse = state->input;
	const struct command *command = parse->cli->command;

	switch (key) {
	case KEY_HELP:
		parse->help = true;
		return 0;
	case KEY_OUTPUT:
		return -set_format(parse->cli, arg, parse->err);
	case ARGP_KEY_ARG:
		return take_operand(parse, arg);
	case ARGP_KEY_ERROR:
		if (parse->err->kind == ERR_NONE)
			(void)suggest_option(
				parse->options, state->argv[MAX(state->next - 1, 1)], parse->err);
		return 0;
	default:
		break;
	}
	/* "-o=false" as well as "-ofalse" and "--option=false". */
	if (arg && *arg == '=' && takes_value_maybe(command, key))
		arg++;
	for (const struct argp_option *own = command->options; own && own->name; own++) {
		if (own->key == key)
			return -command->parse(parse->cli, key, arg, parse->err);
	}
	return command->kube_flags ? set_kube_flag(parse, key, arg) : ARGP_ERR_UNKNOWN;
}

/* Cuts "-- CMD ARGS" off, before argp takes it for operands; the new argc. */
static int take_child(struct cli *cli, int argc, char **argv)
{
	for (int i = 1; cli->command->runs_child && i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			cli->child = argv + i + 1;
			argv[i] = NULL;
			return i;
		}
	}
	return argc;
}

static int parse_command(struct cli *cli, int argc, char **argv, bool *ret_help, struct err *err)
{
	auto_free struct argp_option *options = help_options(cli->command);
	struct argp argp = {options, parse_option, NULL, NULL, NULL, NULL, NULL};
	struct parse parse = {.cli = cli, .options = options, .err = err};
	error_t r;

	argc = take_child(cli, argc, argv);
	if (cli->child && !cli->child[0])
		return err_set(err, -EINVAL, ERR_USAGE, "a command is missing after --");
	r = argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP, NULL, &parse);
	if (r != 0 && err->kind == ERR_NONE)
		return err_set(err, -r, ERR_USAGE, "the command line cannot be understood");
	*ret_help = parse.help;
	return -r;
}

/* Options before the command; the index of the command's name. */
static int parse_global(struct cli *cli, int argc, char **argv, struct err *err)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-') {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			cli->command = command_find("help");
			return argc;
		}
		if (strcmp(argv[i], "--version") == 0) {
			cli->command = command_find("version");
			return argc;
		}
		if (strncmp(argv[i], "--output=", 9) == 0) {
			if (set_format(cli, argv[i] + 9, err) < 0)
				return -EINVAL;
			i++;
		} else if (strcmp(argv[i], "--output") == 0 && i + 1 < argc) {
			if (set_format(cli, argv[i + 1], err) < 0)
				return -EINVAL;
			i += 2;
		} else {
			return err_set(err, -EINVAL, ERR_USAGE,
				"unknown option before the command, or option without its value: "
				"%s",
				argv[i]);
		}
	}
	return i;
}

static int find_command(struct cli *cli, const char *name, struct err *err)
{
	cli->command = command_find(name ? name : "help");
	if (cli->command)
		return 0;
	return suggest_command(name, err);
}

static int run(struct cli *cli, int argc, char **argv, struct err *err)
{
	int first = parse_global(cli, argc, argv, err);
	bool help = false;
	int r;

	if (first < 0)
		return first;
	if (cli->command)
		return cli->command->run(cli, err);
	r = find_command(cli, first < argc ? argv[first] : NULL, err);
	if (r == 0)
		cli->flags = xcalloc(1, MAX(cli->command->flags_bytes, 1));
	if (r == 0 && first < argc)
		r = parse_command(cli, argc - first, argv + first, &help, err);
	if (r < 0)
		return r;
	if (help) {
		help_command(cli, cli->command);
		return 0;
	}
	return cli->command->run(cli, err);
}

/* {"cmd", "stdout", "stderr", "err"}, set keys only, unless the result is the whole document. */
static int print_document(struct cli *cli, const struct err *err)
{
	json_object *document = json_object_new_object();
	const char *text = buf_len(&cli->out) ? buf_cstr(&cli->out) : NULL;
	int r;

	if (cli->bare && err->kind == ERR_NONE) {
		json_object_put(document);
		document = json_object_get(cli->result);
	} else {
		json_put_string(
			document, "cmd", cli->command ? cli->command->name : "telepresence");
		if (cli->result)
			json_object_object_add(document, "stdout", json_object_get(cli->result));
		else
			json_put_string(document, "stdout", text);
		if (err->kind != ERR_NONE) {
			json_put_string(document, "err", err->msg);
			json_put_string(document, "kind", err_kind_name(err->kind));
			json_put_string(document, "hint", cli->hint[0] ? cli->hint : NULL);
		}
	}
	r = cli->format == OUTPUT_YAML ? document_yaml(stdout, document)
				       : document_json(stdout, document);
	json_object_put(document);
	return r;
}

static void print_error(const struct cli *cli, const struct err *err)
{
	const char *name = cli->command ? cli->command->name : NULL;

	(void)fprintf(stderr, "telepresence%s%s: error: %s\n", name ? " " : "", name ? name : "",
		err->msg);
	if (cli->hint[0])
		(void)fprintf(stderr, "%s\n", cli->hint);
	else if (err->kind == ERR_USAGE)
		(void)fprintf(stderr, "See 'telepresence %s%s--help'.\n", name ? name : "",
			name ? " " : "");
	else if (err->kind == ERR_INTERNAL && err->code != -ECHILD)
		(void)fprintf(stderr, "The daemons' logs may say more: userd.log and rootd.log in "
				      "~/.cache/telepresence, or $XDG_CACHE_HOME/telepresence\n");
}

/* Before anything can fail: who asked for a document gets it for an unknown option too. What
 * follows "--" is another program's. */
static enum output_format wanted_format(char *const *argv)
{
	enum output_format format = OUTPUT_DEFAULT;

	for (; *argv && strcmp(*argv, "--") != 0; argv++) {
		const char *name = NULL;

		if (strncmp(*argv, "--output=", 9) == 0)
			name = *argv + 9;
		else if (strcmp(*argv, "--output") == 0)
			name = argv[1];
		if (name && find_format(name, &format) && format != OUTPUT_DEFAULT)
			break;
	}
	return format;
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {.format = wanted_format(argv)};
	struct err err = ERR_INIT;
	bool told = true;
	int r;

	buf_init(&cli.out, OUT_BYTES);
	r = run(&cli, argc, argv, &err);
	if (r < 0 && err.kind == ERR_NONE)
		err_set_errno(&err, r, "failed");
	if (cli.format != OUTPUT_DEFAULT)
		told = print_document(&cli, &err) == 0;
	else if (r < 0)
		print_error(&cli, &err);
	json_object_put(cli.result);
	connect_args_done(&cli.args);
	free(cli.flags);
	buf_done(&cli.out);
	/* A result that could not be written was not delivered. */
	if ((fflush(stdout) != 0 || !told) && r == 0)
		return 1;
	return r < 0 ? err_exit_code(err.kind) : 0;
}
