/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/command.h - one table of commands: parsing, help, man page, completion
 *
 * A command's run() prints its result with cli_print() (or hands a JSON result to cli_result()),
 * talks with cli_say(), and returns 0 or -errno with *err filled; cli_main() turns that into the
 * exit status and, with --output json or yaml, into one document.
 */
#ifndef CLIENT_CLI_COMMAND_H
#define CLIENT_CLI_COMMAND_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "client/userd/args.h"
#include "core/attr.h"
#include "core/buf.h"
#include "core/err.h"

#define CLI_HINT_BYTES 256
#define CLI_OPERANDS   64

/* All but the first: one document instead of text. */
enum output_format { OUTPUT_DEFAULT, OUTPUT_JSON, OUTPUT_YAML };

struct cli {
	const struct command *command;
	enum output_format format;
	struct connect_args args; /* of commands with kube_flags */
	void *flags; /* the command's own, of flags_bytes, all zero at first */
	const char *operands[CLI_OPERANDS];
	size_t operand_count;
	char **child; /* what follows "--", ends with NULL; NULL: nothing does */
	char hint[CLI_HINT_BYTES]; /* what to do after the error */

	bool stdout_taken; /* by something else that the command writes: cli_print() is stderr */
	struct buf out; /* what cli_print() said, for the document */
	json_object *result;
	bool bare; /* result is the whole document */
};

struct command {
	const char *name;
	const char *operand; /* how help names it; NULL: none allowed */
	bool many_operands; /* else one */
	const char
		*words; /* what its first operand can be, for completion; NULL: not a fixed word */
	const char *completes; /* its operands: a kind of names (cli/complete.h), or NULL */
	const char *summary; /* one line */
	const char
		*description; /* paragraphs of help and man page; NULL: the summary says it all */
	const struct argp_option *options; /* its own; NULL: none */
	/* An option of its own; arg is NULL where it takes none. */
	int (*parse)(struct cli *cli, int key, const char *arg, struct err *err);
	size_t flags_bytes;
	int (*run)(struct cli *cli, struct err *err);
	bool kube_flags; /* takes the flags of connect_fields */
	bool runs_child; /* takes "-- CMD ARGS" */
	bool hidden;
};

extern const struct command *const commands[];
extern const size_t command_count;
const struct command *command_find(const char *name);

/* Parses argv, runs the command, prints; the exit status. */
int cli_main(int argc, char **argv);

/* The result, for people: stdout. */
void cli_print(struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* What goes on meanwhile: stderr, nothing beside a document. */
void cli_say(struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* The structured result of a document; takes it. bare: it is the document, without envelope. */
void cli_result(struct cli *cli, json_object *result, bool bare);

#endif /* CLIENT_CLI_COMMAND_H */
