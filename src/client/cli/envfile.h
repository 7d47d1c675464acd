/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/envfile.h - an environment written to a file, in the syntax of who will read it
 *
 * Every byte of a value arrives, or the variable is left out and named: a syntax may have no way
 * to say a line break (docker, cmd), an empty value (cmd) or a name like "a.b" (sh, csh). The file
 * has mode 0600 and appears whole or not at all.
 */
#ifndef CLIENT_CLI_ENVFILE_H
#define CLIENT_CLI_ENVFILE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"
#include "core/buf.h"

struct err;

enum env_syntax {
	ENV_DOCKER, /* of docker's --env-file: nothing is quoted, no line breaks */
	ENV_COMPOSE, /* of a compose file's env_file */
	ENV_SH,
	ENV_SH_EXPORT,
	ENV_CSH,
	ENV_CSH_EXPORT,
	ENV_PS, /* PowerShell */
	ENV_PS_EXPORT,
	ENV_CMD,
	ENV_JSON,
	ENV_SYNTAX_COUNT
};

/* "docker", "sh:export", ...; -EINVAL: there is no such syntax. */
NODISCARD int env_syntax_parse(const char *name, enum env_syntax *ret_syntax, struct err *err);
/* Appends the members of an object, strings all. on_omitted is told the name of each that this
 * syntax cannot say. */
NODISCARD int env_format(json_object *environment, enum env_syntax syntax, struct buf *out,
	void (*on_omitted)(void *user, const char *name), void *user);
/* "-". */
bool env_is_stdout(const char *path);
/* Whether env_write() can be expected to succeed; NULL: nothing is to be written. */
NODISCARD int env_check(const char *path, struct err *err);
/* Replaces the file, or writes into what is no regular file (a pipe, a terminal, or "-": standard
 * output). */
NODISCARD int env_write(const char *path, const struct buf *text, struct err *err);

#endif /* CLIENT_CLI_ENVFILE_H */
