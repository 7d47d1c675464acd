/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each reader does with a value decides what must be escaped:
 *   docker   takes all up to the line's end, as it is; a leading # makes a comment of the line.
 *   compose  in double quotes \\ \" \$ \n \r are escapes (compose-go's dotenv).
 *   sh       single quotes hold everything but themselves.
 *   csh      as sh, but ! and a line break need a backslash inside quotes, too.
 *   ps       single quotes hold everything but the five characters that end them, which double.
 *   cmd      has no quotes that hold a quote: every special character gets a caret, % another %.
 */
#include "client/cli/envfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "core/err.h"

/* Few environments are larger. */
#define TRIED_BYTES 65536

/* One value's way out: puts what precedes, the value with its escapes, and what ends the line. */
struct syntax {
	const char *name;
	bool (*can)(const char *name, const char *value); /* NULL: everything */
	const char *before, *between, *after;
	/* What stands for the bytes at *text, whose count it returns; 0: the byte itself. */
	size_t (*escape)(const char *text, const char **ret_escape);
};

static bool is_identifier(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	}
	return true;
}

/* A name that no reader of lines takes for something else: Kubernetes allows any ASCII. */
static bool is_plain_name(const char *name)
{
	return *name && !strpbrk(name, " \t\r\n#\"'=%^&|<>()!$`\\{}/:;,");
}

static bool is_shell_name(const char *name, const char *value UNUSED)
{
	return is_identifier(name);
}

/* Another character makes compose refuse the whole file. */
static bool is_compose_name(const char *name, const char *value UNUSED)
{
	for (; isalnum((unsigned char)*name) || (*name && strchr("_.-", *name)); name++)
		;
	return !*name;
}

/* Behind "Env:" a wildcard stands for the names that match it. */
static bool is_ps_name(const char *name, const char *value UNUSED)
{
	return is_plain_name(name) && !strpbrk(name, "*?[]");
}

static bool is_one_line(const char *name, const char *value)
{
	return is_plain_name(name) && !strpbrk(value, "\r\n");
}

static bool is_cmd_value(const char *name, const char *value)
{
	return is_one_line(name, value) && *value;
}

static size_t escape_nothing(const char *text UNUSED, const char **ret_escape UNUSED)
{
	return 0;
}

static size_t escape_compose(const char *text, const char **ret_escape)
{
	static const char *const escapes[] = {"\\\\", "\\\"", "\\$", "\\n", "\\r"};
	static const char special[] = "\\\"$\n\r";
	const char *found = strchr(special, *text);

	if (!found)
		return 0;
	*ret_escape = escapes[found - special];
	return 1;
}

static size_t escape_sh(const char *text, const char **ret_escape)
{
	*ret_escape = "'\\''";
	return *text == '\'';
}

static size_t escape_csh(const char *text, const char **ret_escape)
{
	*ret_escape = *text == '!' ? "\\!" : *text == '\n' ? "\\\n" : "'\\''";
	return strchr("'!\n", *text) != NULL;
}

/* PowerShell takes the typographic quotes U+2018 to U+201B for ' as well. */
static size_t escape_ps(const char *text, const char **ret_escape)
{
	static const char *const doubled[] = {"\xe2\x80\x98\xe2\x80\x98",
		"\xe2\x80\x99\xe2\x80\x99", "\xe2\x80\x9a\xe2\x80\x9a", "\xe2\x80\x9b\xe2\x80\x9b"};

	*ret_escape = "''";
	if (*text == '\'')
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(doubled); i++) {
		if (strncmp(text, doubled[i], 3) == 0) {
			*ret_escape = doubled[i];
			return 3;
		}
	}
	return 0;
}

static size_t escape_cmd(const char *text, const char **ret_escape)
{
	static const char *const escapes[] = {
		"%%", "^^", "^&", "^|", "^<", "^>", "^(", "^)", "^\"", "^!"};
	static const char special[] = "%^&|<>()\"!";
	const char *found = strchr(special, *text);

	if (!found)
		return 0;
	*ret_escape = escapes[found - special];
	return 1;
}

static const struct syntax syntaxes[ENV_SYNTAX_COUNT] = {
	[ENV_DOCKER] = {"docker", is_one_line, "", "=", "\n", escape_nothing},
	[ENV_COMPOSE] = {"compose", is_compose_name, "", "=\"", "\"\n", escape_compose},
	[ENV_SH] = {"sh", is_shell_name, "", "='", "'\n", escape_sh},
	[ENV_SH_EXPORT] = {"sh:export", is_shell_name, "export ", "='", "'\n", escape_sh},
	[ENV_CSH] = {"csh", is_shell_name, "set ", "='", "'\n", escape_csh},
	[ENV_CSH_EXPORT] = {"csh:export", is_shell_name, "setenv ", " '", "'\n", escape_csh},
	[ENV_PS] = {"ps", is_ps_name, "${", "}='", "'\n", escape_ps},
	[ENV_PS_EXPORT] = {"ps:export", is_ps_name, "${Env:", "}='", "'\n", escape_ps},
	[ENV_CMD] = {"cmd", is_cmd_value, "set ", "=", "\r\n", escape_cmd},
	[ENV_JSON] = {.name = "json"},
};

int env_syntax_parse(const char *name, enum env_syntax *ret_syntax, struct err *err)
{
	for (enum env_syntax i = 0; i < ENV_SYNTAX_COUNT; i++) {
		if (strcmp(syntaxes[i].name, name) == 0) {
			*ret_syntax = i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, ERR_USAGE,
		"invalid env-syntax \"%.40s\": docker, compose, sh, sh:export, csh, csh:export, "
		"ps, "
		"ps:export, cmd or json",
		name);
}

static int put_text(struct buf *out, const char *text)
{
	return buf_append(out, text, strlen(text));
}

static int put_variable(
	struct buf *out, const struct syntax *syntax, const char *name, const char *value)
{
	int r = put_text(out, syntax->before);

	if (r == 0)
		r = put_text(out, name);
	if (r == 0)
		r = put_text(out, syntax->between);
	while (r == 0 && *value) {
		const char *escape = NULL;
		size_t n = syntax->escape(value, &escape);

		r = n ? put_text(out, escape) : buf_append(out, value, 1);
		value += MAX(n, 1);
	}
	return r == 0 ? put_text(out, syntax->after) : r;
}

static int format_json(json_object *environment, struct buf *out)
{
	int r = put_text(out, json_object_to_json_string_ext(environment,
				      JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));

	return r == 0 ? put_text(out, "\n") : r;
}

int env_format(json_object *environment, enum env_syntax which, struct buf *out,
	void (*on_omitted)(void *user, const char *name), void *user)
{
	const struct syntax *syntax = &syntaxes[which];
	int r = 0;

	if (which == ENV_JSON)
		return format_json(environment, out);
	json_object_object_foreach(environment, name, item)
	{
		const char *value = json_object_get_string(item);

		/* A NUL inside would end the value early. */
		bool whole = value && strlen(value) == (size_t)json_object_get_string_len(item);

		if (whole && (!syntax->can || syntax->can(name, value)))
			r = put_variable(out, syntax, name, value);
		else
			on_omitted(user, name);
		if (r < 0)
			break;
	}
	return r;
}

static int write_all(int fd, const struct buf *text)
{
	size_t done = 0;

	while (done < buf_len(text)) {
		ssize_t n = write(fd, buf_head(text) + done, buf_len(text) - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += (size_t)MAX(n, 0);
	}
	return 0;
}

/* Beside the file first: who reads it meanwhile sees the old or the new one, whole. */
static int replace_file(const char *path, const struct buf *text)
{
	auto_free char *temporary = xasprintf("%s.XXXXXX", path);
	auto_close int fd = mkostemp(temporary, O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	return r;
}

bool env_is_stdout(const char *path)
{
	return path && strcmp(path, "-") == 0;
}

static int failed(const char *path, int r, struct err *err)
{
	return err_set_errno(err, r, "%s", env_is_stdout(path) ? "standard output" : path);
}

/* Where the file is, or will be: a link is followed to what it names. The caller's. */
static char *place_of(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : xstrdup(path);
}

/* Whether there is a way and room for the file beside which it will be written; nothing stays. */
static int try_file(const char *path)
{
	auto_free char *place = place_of(path);
	auto_free char *temporary = xasprintf("%s.XXXXXX", place);
	auto_close int fd = mkostemp(temporary, O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, TRIED_BYTES);
	(void)unlink(temporary);
	return r;
}

/* Of a device a write of nothing tells; a pipe that nobody reads yet is not waited for. */
static int try_open(const char *path)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENXIO ? 0 : -errno;
	return write(fd, "", 0) < 0 ? -errno : 0;
}

int env_check(const char *path, struct err *err)
{
	struct stat st = {.st_mode = S_IFREG};
	int r;

	if (!path)
		return 0;
	if (!*path)
		return err_set(err, -EINVAL, ERR_USAGE, "an environment file needs a name");
	if (!env_is_stdout(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, ERR_USAGE, "%s is a folder", path);
	/* A regular file is replaced in its folder, anything else is written to. */
	if (env_is_stdout(path))
		r = write(STDOUT_FILENO, "", 0) < 0 ? -errno : 0;
	else
		r = S_ISREG(st.st_mode) ? try_file(path) : try_open(path);
	return r < 0 ? failed(path, r, err) : 0;
}

int env_write(const char *path, const struct buf *text, struct err *err)
{
	auto_free char *place = place_of(path);
	auto_close int fd = -1;
	struct stat st;
	int r;

	if (env_is_stdout(path)) {
		r = write_all(STDOUT_FILENO, text);
	} else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : write_all(fd, text);
	} else {
		r = replace_file(place, text);
	}
	return r < 0 ? failed(path, r, err) : 0;
}
