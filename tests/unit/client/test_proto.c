/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/proto.h"
#include "core/err.h"
#include "core/limits.h"

static void put(struct buf *buf, const char *text)
{
	uint32_t len = htonl((uint32_t)strlen(text));

	assert_int_equal(buf_append(buf, &len, sizeof(len)), 0);
	assert_int_equal(buf_append(buf, text, strlen(text)), 0);
}

static void frames_come_back(void **state)
{
	json_object *object = json_object_new_object(), *back = NULL;
	struct buf buf;

	(void)state;
	buf_init(&buf, USERD_FRAME_BYTES);
	json_put_string(object, "request", "status");
	json_put_string(object, "absent", NULL);
	assert_int_equal(userd_put_frame(&buf, object), 0);
	assert_int_equal(userd_put_frame(&buf, object), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(userd_get_frame(&buf, &back), 1);
		assert_string_equal(json_get_string(back, "request"), "status");
		assert_null(json_get_string(back, "absent"));
		json_object_put(back);
	}
	assert_int_equal(userd_get_frame(&buf, &back), 0);
	json_object_put(object);
	buf_done(&buf);
}

static void a_part_of_a_frame_waits(void **state)
{
	struct buf whole, part;
	json_object *object = NULL;

	(void)state;
	buf_init(&whole, 100);
	buf_init(&part, 100);
	put(&whole, "{\"a\":1}");
	for (size_t i = 0; i < buf_len(&whole); i++) {
		assert_int_equal(userd_get_frame(&part, &object), 0);
		assert_int_equal(buf_append(&part, buf_head(&whole) + i, 1), 0);
	}
	assert_int_equal(userd_get_frame(&part, &object), 1);
	assert_int_equal(json_get_int(object, "a", 0), 1);
	json_object_put(object);
	buf_done(&whole);
	buf_done(&part);
}

static void malformed_frames_are_refused(void **state)
{
	static const char *const texts[] = {"", "x", "1", "[]", "null", "\"text\"", "{", "{\"a\":1",
		"{\"a\":1}}", "{\"a\":1} x", "{\"a\":\"\xff\"}",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}"};
	json_object *object = NULL;
	struct buf buf;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		buf_init(&buf, 200);
		put(&buf, texts[i]);
		assert_int_equal(userd_get_frame(&buf, &object), -EPROTO);
		buf_done(&buf);
	}
}

static void lengths_are_bounded(void **state)
{
	uint32_t len = htonl(LIMIT_USER_MESSAGE_BYTES + 1);
	json_object *object = json_object_new_object();
	size_t size = LIMIT_USER_MESSAGE_BYTES;
	char *text = calloc(size + 1, 1);
	struct buf buf;

	(void)state;
	buf_init(&buf, USERD_FRAME_BYTES);
	assert_int_equal(buf_append(&buf, &len, sizeof(len)), 0);
	assert_int_equal(userd_get_frame(&buf, &object), -EPROTO);
	buf_done(&buf);
	memset(text, 'x', size);
	json_put_string(object, "large", text);
	assert_int_equal(userd_put_frame(&buf, object), -ENOBUFS);
	assert_int_equal(buf_len(&buf), 0);
	json_object_put(object);
	free(text);
}

static void members_of_another_type_are_absent(void **state)
{
	json_object *object = json_tokener_parse("{\"s\":1,\"i\":\"1\",\"b\":1,\"o\":[]}");

	(void)state;
	assert_null(json_get_string(object, "s"));
	assert_int_equal(json_get_int(object, "i", 7), 7);
	assert_false(json_get_bool(object, "b"));
	assert_null(json_get(object, "o", json_type_object));
	assert_null(json_get(NULL, "o", json_type_object));
	assert_null(json_get_string(NULL, "s"));
	json_object_put(object);
}

static void a_peer_of_another_uid_is_refused(void **state)
{
	struct err err = ERR_INIT;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(userd_check_peer(fds[0], getuid(), &err), 0);
	assert_int_equal(userd_check_peer(fds[0], getuid() + 1, &err), -EPERM);
	assert_int_equal(err.kind, ERR_PERMISSION);
	close(fds[0]);
	close(fds[1]);
}

static void the_address_is_abstract_and_has_the_uid(void **state)
{
	struct sockaddr_un address;
	socklen_t len = userd_address(1000, &address);

	(void)state;
	assert_int_equal(address.sun_path[0], '\0');
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 1 + 23);
	assert_memory_equal(address.sun_path + 1, "telepresence-userd-1000", 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_back),
		cmocka_unit_test(a_part_of_a_frame_waits),
		cmocka_unit_test(malformed_frames_are_refused),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(members_of_another_type_are_absent),
		cmocka_unit_test(a_peer_of_another_uid_is_refused),
		cmocka_unit_test(the_address_is_abstract_and_has_the_uid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
