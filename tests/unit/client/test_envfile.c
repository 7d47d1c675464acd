/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "client/cli/envfile.h"
#include "core/alloc.h"
#include "core/err.h"

#define TEXT_BYTES 65536

static void add_name(void *user, const char *name)
{
	char *names = user;

	(void)snprintf(names + strlen(names), 64, "%s ", name);
}

static char *format(json_object *environment, const char *syntax_name, char *omitted)
{
	char ignored[256] = "";
	enum env_syntax syntax = ENV_SYNTAX_COUNT;
	struct buf out;
	char *text;

	assert_int_equal(env_syntax_parse(syntax_name, &syntax, NULL), 0);
	buf_init(&out, TEXT_BYTES);
	assert_int_equal(
		env_format(environment, syntax, &out, add_name, omitted ? omitted : ignored), 0);
	text = xstrdup(buf_len(&out) ? buf_cstr(&out) : "");
	buf_done(&out);
	if (!omitted)
		assert_string_equal(ignored, "");
	return text;
}

/* {"name": value} in one syntax. */
static void expect(const char *syntax, const char *name, const char *value, const char *expected)
{
	json_object *environment = json_object_new_object();
	char omitted[256] = "";
	auto_free char *text = NULL;
	auto_free char *left_out = xasprintf("%s ", name);

	json_object_object_add(environment, name, json_object_new_string(value));
	text = format(environment, syntax, omitted);
	json_object_put(environment);
	assert_string_equal(text, expected ? expected : "");
	assert_string_equal(omitted, expected ? "" : left_out);
}

/* Each byte that a value may have, in both orders, so that each meets others. */
static json_object *every_byte(void)
{
	json_object *environment = json_object_new_object();
	char up[256] = "", down[256] = "";

	for (int i = 1; i < 256; i++) {
		up[i - 1] = (char)i;
		down[i - 1] = (char)(256 - i);
	}
	json_object_object_add(environment, "UP", json_object_new_string(up));
	json_object_object_add(environment, "DOWN", json_object_new_string(down));
	json_object_object_add(environment, "NOTHING", json_object_new_string(""));
	json_object_object_add(
		environment, "LINES", json_object_new_string("a\n'b'\n$HOME `id` \\\n\n"));
	return environment;
}

static char *run_shell(const char *script)
{
	char path[] = "/tmp/envfile-XXXXXX";
	auto_close int fd = mkostemp(path, O_CLOEXEC);
	auto_free char *command = xasprintf("exec sh %s", path);
	char *out = xcalloc(TEXT_BYTES, 1);
	FILE *from;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, strlen(script)), strlen(script));
	from = popen(command, "r");
	assert_non_null(from);
	assert_true(fread(out, 1, TEXT_BYTES - 1, from) > 0);
	assert_int_equal(pclose(from), 0);
	(void)unlink(path);
	return out;
}

static void what_sh_reads_is_what_was_written(void **state)
{
	static const char *const syntaxes[] = {"sh", "sh:export"};
	json_object *environment = every_byte();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(syntaxes); i++) {
		auto_free char *file = format(environment, syntaxes[i], NULL);

		json_object_object_foreach(environment, name, value)
		{
			/* Exported ones are seen by a child; the others only here. */
			auto_free char *script = xasprintf(i ? "%s\nsh -c 'printf %%s. \"$%s\"'\n"
							     : "%s\nprintf %%s. \"$%s\"\n",
				file, name);
			auto_free char *got = run_shell(script);
			auto_free char *expected = xasprintf("%s.", json_object_get_string(value));

			assert_string_equal(got, expected);
		}
	}
	json_object_put(environment);
}

static void json_is_the_object(void **state)
{
	json_object *environment = every_byte();
	auto_free char *file = format(environment, "json", NULL);
	json_object *back = json_tokener_parse(file);

	(void)state;
	assert_true(json_object_equal(environment, back));
	json_object_put(back);
	json_object_put(environment);
}

/* Takes one character of a double-quoted value the way that compose-go does. */
static char compose_char(const char **at)
{
	if (**at == '\\') {
		char escaped = *++*at;

		(*at)++;
		return (char)(escaped == 'n' ? '\n' : escaped == 'r' ? '\r' : escaped);
	}
	assert_int_not_equal(**at, '$');
	return *(*at)++;
}

static void compose_reads_it_back(void **state)
{
	json_object *environment = every_byte();
	auto_free char *file = format(environment, "compose", NULL);
	const char *at = file;

	(void)state;
	json_object_object_foreach(environment, name, value)
	{
		char got[512] = "";
		size_t len = 0;

		assert_int_equal(strncmp(at, name, strlen(name)), 0);
		at += strlen(name);
		assert_int_equal(strncmp(at, "=\"", 2), 0);
		at += 2;
		while (*at != '"') {
			assert_int_not_equal(*at, '\n');
			got[len++] = compose_char(&at);
		}
		assert_string_equal(got, json_object_get_string(value));
		assert_int_equal(strncmp(at, "\"\n", 2), 0);
		at += 2;
	}
	assert_int_equal(*at, '\0');
	json_object_put(environment);
}

static void each_reader_gets_its_quotes(void **state)
{
	(void)state;
	expect("docker", "A", " \"b\" # 'c' $d \\ ", "A= \"b\" # 'c' $d \\ \n");
	expect("docker", "A", "", "A=\n");
	expect("compose", "A", "say \"$x\\n\"\n", "A=\"say \\\"\\$x\\\\n\\\"\\n\"\n");
	expect("csh", "A", "don't!\n$x", "set A='don'\\''t\\!\\\n$x'\n");
	expect("csh:export", "A", "", "setenv A ''\n");
	expect("ps", "A", "it's $x `n\n", "${A}='it''s $x `n\n'\n");
	expect("ps:export", "a.b", "\xe2\x80\x99x\xe2\x80\x94",
		"${Env:a.b}='\xe2\x80\x99\xe2\x80\x99x\xe2\x80\x94'\n");
	expect("cmd", "A", "50% \"a&b\" ^!", "set A=50%% ^\"a^&b^\" ^^^!\r\n");
}

static void what_a_syntax_cannot_say_is_named(void **state)
{
	static const char *const names[] = {"a b", "#a", "a\nb", "a'b", "a}b", "$a"};
	static const char *const lines[] = {"docker", "compose", "ps", "ps:export", "cmd"};

	(void)state;
	expect("docker", "A", "one\ntwo", NULL);
	expect("cmd", "A", "one\ntwo", NULL);
	expect("cmd", "A", "", NULL);
	expect("sh", "a.b", "x", NULL);
	expect("csh:export", "9a", "x", NULL);
	expect("compose", "a.b-c", "x", "a.b-c=\"x\"\n");
	expect("compose", "a@b", "x", NULL);
	expect("ps", "a@b", "x", "${a@b}='x'\n");
	expect("ps:export", "a*", "x", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lines); j++)
			expect(lines[j], names[i], "x", NULL);
		expect("sh:export", names[i], "x", NULL);
	}
}

static void an_unknown_syntax_is_refused(void **state)
{
	enum env_syntax syntax = ENV_SYNTAX_COUNT;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(env_syntax_parse("fish", &syntax, &err), -EINVAL);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_non_null(strstr(err.msg, "sh:export"));
	assert_int_equal(syntax, ENV_SYNTAX_COUNT);
}

static void the_file_is_replaced_whole_and_private(void **state)
{
	char dir[] = "/tmp/envfile-XXXXXX";
	struct buf text;
	struct stat before, st;
	auto_free char *path = NULL;
	auto_free char *link = NULL;
	auto_free char *absent = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/env", dir);
	link = xasprintf("%s/link", dir);
	absent = xasprintf("%s/absent/env", dir);
	buf_init(&text, 64);
	assert_int_equal(buf_append(&text, "A=1\n", 4), 0);
	assert_int_equal(env_write(path, &text, NULL), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(symlink("env", link), 0);
	assert_int_equal(env_write(link, &text, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 4);
	assert_int_not_equal(st.st_ino, before.st_ino);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(env_write("/dev/null", &text, NULL), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(env_write(absent, &text, &err), -ENOENT);
	assert_non_null(strstr(err.msg, absent));
	buf_done(&text);
	(void)unlink(link);
	(void)unlink(path);
	/* Nothing else was left there. */
	assert_int_equal(rmdir(dir), 0);
}

static int failure_of_check(const char *path, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return env_check(path, err);
}

static void where_nothing_can_be_written_is_known_before(void **state)
{
	char dir[] = "/tmp/envfile-XXXXXX";
	auto_free char *absent = NULL;
	auto_free char *fresh = NULL;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	absent = xasprintf("%s/absent/env", dir);
	fresh = xasprintf("%s/env", dir);
	assert_int_equal(failure_of_check(NULL, &err), 0);
	assert_int_equal(failure_of_check(fresh, &err), 0);
	assert_int_equal(failure_of_check("/dev/null", &err), 0);
	assert_int_equal(failure_of_check("-", &err), 0);
	assert_int_equal(failure_of_check("", &err), -EINVAL);
	assert_int_equal(failure_of_check(dir, &err), -EISDIR);
	assert_int_equal(failure_of_check(absent, &err), -ENOENT);
	assert_non_null(strstr(err.msg, absent));
	assert_int_equal(failure_of_check("/dev/full", &err), -ENOSPC);
	/* Root may write to /sys, as far as access() knows. */
	assert_int_equal(failure_of_check("/sys/env", &err), -EACCES);
	/* Nothing was left there. */
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_sh_reads_is_what_was_written),
		cmocka_unit_test(json_is_the_object),
		cmocka_unit_test(compose_reads_it_back),
		cmocka_unit_test(each_reader_gets_its_quotes),
		cmocka_unit_test(what_a_syntax_cannot_say_is_named),
		cmocka_unit_test(an_unknown_syntax_is_refused),
		cmocka_unit_test(the_file_is_replaced_whole_and_private),
		cmocka_unit_test(where_nothing_can_be_written_is_known_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
