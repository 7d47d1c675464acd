/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/log.h"
#include "core/wire.h"

static void err_wraps_outwards(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
		err_set(&err, -ENOENT, ERR_NOT_FOUND, "no context \"%s\"", "dev"), -ENOENT);
	assert_int_equal(err_wrap(&err, -ENOENT, "load %s", "config"), -ENOENT);
	assert_string_equal(err.msg, "load config: no context \"dev\"");
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(err_set(NULL, -EIO, ERR_INTERNAL, "nobody listens"), -EIO);
}

static void err_errno_names_cause_and_kind(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set_errno(&err, -ECONNREFUSED, "connect to %s", "x"), -ECONNREFUSED);
	assert_string_equal(err.msg, "connect to x: Connection refused");
	assert_int_equal(err.kind, ERR_UNREACHABLE);
}

static void err_message_is_bounded(void **state)
{
	struct err err = ERR_INIT;
	char text[2 * ERR_MSG_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)err_set(&err, -EIO, ERR_INTERNAL, "%s", text);
	(void)err_wrap(&err, -EIO, "%s", text);
	(void)err_set_errno(&err, -EIO, "%s", text);
	assert_int_equal(strlen(err.msg), ERR_MSG_BYTES - 1);
}

static void err_kinds_have_distinct_exit_codes(void **state)
{
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < ERR_KIND_COUNT; i++) {
		int code = err_exit_code((enum err_kind)i);

		assert_int_equal(err_kind_parse(err_kind_name((enum err_kind)i)), i);
		assert_int_equal(seen & (1U << code), 0);
		seen |= 1U << code;
	}
	assert_int_equal(err_exit_code(ERR_NONE), 0);
	assert_int_equal(err_kind_parse("bogus"), ERR_INTERNAL);
}

static void buf_keeps_order_and_maximum(void **state)
{
	struct buf buf;
	uint8_t chunk[100];
	unsigned int next = 0, want = 0;

	(void)state;
	buf_init(&buf, 1000);
	for (unsigned int round = 0; round < 500; round++) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = (uint8_t)(next + i);
		if (buf_append(&buf, chunk, sizeof(chunk)) == 0)
			next += sizeof(chunk);
		assert_true(buf_len(&buf) <= 1000);
		for (size_t i = 0; i < buf_len(&buf) && i < 70; i++)
			assert_int_equal(buf_head(&buf)[i], (uint8_t)(want + i));
		want += (unsigned int)MIN(buf_len(&buf), (size_t)70);
		buf_consume(&buf, MIN(buf_len(&buf), (size_t)70));
	}
	while (buf_room(&buf) >= sizeof(chunk))
		assert_int_equal(buf_append(&buf, chunk, sizeof(chunk)), 0);
	assert_int_equal(buf_append(&buf, chunk, buf_room(&buf) + 1), -ENOBUFS);
	buf_done(&buf);
}

static void buf_prints_and_terminates(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 16);
	assert_int_equal(buf_printf(&buf, "%s-%u", "web", 8080U), 0);
	assert_string_equal(buf_cstr(&buf), "web-8080");
	assert_int_equal(buf_len(&buf), 8);
	assert_int_equal(buf_printf(&buf, "%s", "longer than room"), -ENOBUFS);
	assert_string_equal(buf_cstr(&buf), "web-8080");
	buf_done(&buf);
}

static void wire_error_is_sticky(void **state)
{
	uint8_t bytes[8] = {0};
	struct wire w = wire_writer(bytes, 7);
	struct wire r;

	(void)state;
	wire_put_u8(&w, 0x12);
	wire_put_u16(&w, 0x3456);
	wire_put_u32(&w, 0x789abcde);
	assert_true(wire_ok(&w));
	wire_put_u8(&w, 0xff);
	assert_false(wire_ok(&w));
	assert_int_equal(bytes[7], 0);

	r = wire_reader(bytes, 7);
	assert_int_equal(wire_get_u8(&r), 0x12);
	assert_int_equal(wire_get_u16(&r), 0x3456);
	assert_int_equal(wire_get_u64(&r), 0);
	assert_false(wire_ok(&r));
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_left(&r), 0);
}

static void log_escapes_what_a_peer_sent(void **state)
{
	FILE *out = tmpfile();
	char line[512] = "";

	(void)state;
	assert_non_null(out);
	log_init("test", fileno(out), LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_info("peer said", "name=%s", "a\nb\x1b[31m");
	log_debug("not shown", "%s", "");
	rewind(out);
	assert_non_null(fgets(line, sizeof(line), out));
	assert_non_null(strstr(line, "name=a\\x0ab\\x1b[31m\n"));
	assert_null(fgets(line, sizeof(line), out));
	(void)fclose(out);
	log_init("test", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
}

static void log_json_stays_json(void **state)
{
	FILE *out = tmpfile();
	char line[512] = "";

	(void)state;
	assert_non_null(out);
	log_init("test", fileno(out), LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_warn("quoted", "v=\"%s\"", "a\\b");
	rewind(out);
	assert_non_null(fgets(line, sizeof(line), out));
	assert_non_null(strstr(line, "\"fields\":\"v=\\\"a\\\\b\\\"\"}\n"));
	(void)fclose(out);
	log_init("test", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
}

/* However much of it has to go. */
static void log_json_ends_its_lines(void **state)
{
	char text[1024] = "", line[4096] = "";

	(void)state;
	memset(text, 1, 600);
	for (size_t plain = 0; plain < 8; plain++) {
		FILE *out = tmpfile();
		size_t len;

		assert_non_null(out);
		log_init("test", fileno(out), LOG_FORMAT_JSON, LOG_LEVEL_INFO);
		log_info("long", "v=%.*s%s", (int)plain, "xxxxxxxx", text);
		rewind(out);
		assert_non_null(fgets(line, sizeof(line), out));
		len = strlen(line);
		assert_true(len > 1024);
		assert_string_equal(line + len - strlen("\"}\n"), "\"}\n");
		(void)fclose(out);
	}
	log_init("test", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_wraps_outwards),
		cmocka_unit_test(err_errno_names_cause_and_kind),
		cmocka_unit_test(err_message_is_bounded),
		cmocka_unit_test(err_kinds_have_distinct_exit_codes),
		cmocka_unit_test(buf_keeps_order_and_maximum),
		cmocka_unit_test(buf_prints_and_terminates),
		cmocka_unit_test(wire_error_is_sticky),
		cmocka_unit_test(log_escapes_what_a_peer_sent),
		cmocka_unit_test(log_json_stays_json),
		cmocka_unit_test(log_json_ends_its_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
