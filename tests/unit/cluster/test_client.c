/* SPDX-License-Identifier: Apache-2.0 */
/* Requests against canned answers: what callers are told, and lifetimes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "core/err.h"

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct kube_request *other;
	const char *reply;
	int reply_status, done, r, status;
	bool had_body, cut, anonymous;
	char msg[ERR_MSG_BYTES], head[1024];
	enum err_kind kind;
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	(void)snprintf(rig->head, sizeof(rig->head), "%s", head);
	if (rig->cut)
		return xasprintf(
			"HTTP/1.1 %d X\r\nContent-Length: 1000\r\n\r\n{", rig->reply_status);
	return rig->reply ? fake_json(rig->reply_status, rig->reply) : NULL;
}

static void rig_start(struct rig *rig)
{
	struct kube_config config = {
		.server = rig->api.url, .context = (char[]){"ctx"}, .token = (char[]){"t0k"}};

	if (rig->anonymous)
		config.token = NULL;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
}

static void rig_end(struct rig *rig)
{
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
}

static void on_done(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct rig *rig = user;

	rig->done++;
	rig->r = r;
	rig->status = status;
	rig->had_body = body != NULL;
	rig->kind = err->kind;
	(void)snprintf(rig->msg, sizeof(rig->msg), "%s", err->msg);
}

static void request(struct rig *rig, const char *method, const char *body)
{
	const struct kube_request_config config = {
		.method = method, .path = "/x?y=1", .body = body};

	kube_request(rig->client, &config, on_done, rig, NULL);
	assert_int_equal(rig->done, 0);
	while (!rig->done)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(rig->done, 1);
	rig->done = 0;
}

static void test_answers(void **state UNUSED)
{
	static const struct {
		int http_status;
		const char *reply;
		int r;
		enum err_kind kind;
		bool body;
		const char *message;
	} cases[] = {
		{200, "{\"kind\":\"X\"}", 0, ERR_NONE, true, ""},
		{201, "not json", 0, ERR_NONE, false, ""},
		{404, "{\"message\":\"pods \\\"a\\\" not found\"}", -ENOENT, ERR_NOT_FOUND, true,
			"pods \"a\" not found"},
		{409, "{\"reason\":\"AlreadyExists\",\"message\":\"m\"}", -EEXIST, ERR_CONFLICT,
			true, "m"},
		{409, "{\"reason\":\"Conflict\",\"message\":\"m\"}", -EAGAIN, ERR_CONFLICT, true,
			"m"},
		{403, "{\"message\":\"User \\\"u\\\" cannot list pods\"}", -EACCES, ERR_PERMISSION,
			true, "cannot list pods; ask an administrator"},
		{403, "{\"message\":\"a policy: this cannot be done\"}", -EPERM, ERR_PERMISSION,
			true, "forbids GET /x: a policy: this cannot be done"},
		{403, "{}", -EACCES, ERR_PERMISSION, true, "forbids GET /x"},
		{401, "{}", -EACCES, ERR_AUTH, true, "context ctx"},
		{403,
			"{\"message\":\"sessions is forbidden: User \\\"system:anonymous\\\" "
			"cannot "
			"create\"}",
			-EACCES, ERR_AUTH, true, "context ctx"},
		{410, "{}", -ESTALE, ERR_NOT_FOUND, true, "HTTP status 410"},
		{503, "<html>", -EHOSTUNREACH, ERR_UNREACHABLE, false, "HTTP status 503"},
		{500, "{\"message\":[1]}", -EIO, ERR_INTERNAL, true, "HTTP status 500"},
	};
	struct rig rig = {.reply = ""};

	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig.reply = cases[i].reply;
		rig.reply_status = cases[i].http_status;
		request(&rig, "GET", NULL);
		if (rig.r != cases[i].r || rig.kind != cases[i].kind ||
			rig.had_body != cases[i].body || !strstr(rig.msg, cases[i].message))
			fail_msg("case %zu: r %d kind %s: %s", i, rig.r, err_kind_name(rig.kind),
				rig.msg);
		assert_int_equal(rig.status, cases[i].http_status);
	}
	rig_end(&rig);
}

static void test_what_is_sent(void **state UNUSED)
{
	struct rig rig = {.reply = "{}", .reply_status = 200};

	rig_start(&rig);
	request(&rig, "PATCH", "{\"a\":1}");
	assert_int_equal(strncmp(rig.head, "PATCH /x?y=1 HTTP/1.1\r\n", 23), 0);
	assert_non_null(strstr(rig.head, "\r\nAuthorization: Bearer t0k\r\n"));
	assert_non_null(strstr(rig.head, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(rig.head, "{\"a\":1}"));
	rig_end(&rig);
}

static void test_connection_failures(void **state UNUSED)
{
	struct rig rig = {.reply = NULL};

	rig_start(&rig);
	rig.api.close_after = true;
	request(&rig, "POST", "{}");
	assert_int_equal(rig.kind, ERR_UNREACHABLE);
	assert_non_null(strstr(rig.msg, rig.api.url));
	fake_stop(&rig.api);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	request(&rig, "GET", NULL);
	assert_int_equal(rig.r, -ECONNREFUSED);
	assert_non_null(strstr(rig.msg, "Connection refused"));
	assert_non_null(strstr(rig.msg, "context (ctx)"));
	rig_end(&rig);
}

/* Of a 401 the body need not come; of anything else it has to. */
static void test_answers_that_are_cut(void **state UNUSED)
{
	struct rig rig = {.cut = true, .reply_status = 401};

	rig_start(&rig);
	rig.api.close_after = true;
	request(&rig, "POST", "{}");
	assert_int_equal(rig.r, -EACCES);
	assert_int_equal(rig.kind, ERR_AUTH);
	rig.reply_status = 403;
	request(&rig, "POST", "{}");
	assert_int_equal(rig.kind, ERR_UNREACHABLE);
	rig.reply_status = 200;
	request(&rig, "GET", NULL);
	assert_int_equal(rig.kind, ERR_UNREACHABLE);
	rig_end(&rig);
}

/* Who has no credentials is nobody: that he is forbidden says it all, too. */
static void test_nobody_is_cut_off(void **state UNUSED)
{
	struct rig rig = {.cut = true, .reply_status = 403, .anonymous = true};

	rig_start(&rig);
	rig.api.close_after = true;
	request(&rig, "POST", "{}");
	assert_int_equal(rig.r, -EACCES);
	assert_int_equal(rig.kind, ERR_AUTH);
	assert_non_null(strstr(rig.msg, "has no credentials"));
	rig_end(&rig);
}

/* Frees the client from within a callback, while another request is under way. */
static void on_done_free(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct rig *rig = user;

	on_done(user, r, status, body, err);
	kube_client_free(TAKE_PTR(rig->client));
}

static void test_free_in_callback(void **state UNUSED)
{
	const struct kube_request_config config = {.method = "GET", .path = "/"};
	struct rig rig = {.reply = "{}", .reply_status = 200};

	rig_start(&rig);
	for (int i = 0; i < 3; i++)
		kube_request(rig.client, &config, on_done_free, &rig, NULL);
	while (!rig.done)
		uv_run(&rig.loop, UV_RUN_ONCE);
	rig_end(&rig);
	assert_int_equal(rig.done, 1);
}

static void on_done_cancel(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct rig *rig = user;

	on_done(user, r, status, body, err);
	kube_request_cancel(TAKE_PTR(rig->other));
}

static void test_cancel(void **state UNUSED)
{
	const struct kube_request_config config = {.method = "GET", .path = "/"};
	struct rig rig = {.reply = "{}", .reply_status = 200};
	struct kube_request *first = NULL;

	rig_start(&rig);
	kube_request(rig.client, &config, on_done, &rig, &first);
	kube_request_cancel(first);
	kube_request(rig.client, &config, on_done_cancel, &rig, NULL);
	kube_request(rig.client, &config, on_done, &rig, &rig.other);
	while (!rig.done)
		uv_run(&rig.loop, UV_RUN_ONCE);
	rig_end(&rig);
	/* The second may have had its answer in the same turn, but not after its cancellation. */
	assert_true(rig.other == NULL || rig.done == 2);
}

static void test_unreadable_token_file(void **state UNUSED)
{
	struct kube_config config = {.server = (char[]){"http://127.0.0.1:1"},
		.context = (char[]){"ctx"},
		.token_file = (char[]){"/nonexistent/token"}};
	struct rig rig = {.reply = NULL};

	rig_start(&rig);
	kube_client_free(rig.client);
	assert_int_equal(kube_client_new(&rig.loop, &config, &rig.client, NULL), 0);
	request(&rig, "GET", NULL);
	assert_int_equal(rig.r, -ENOENT);
	assert_non_null(strstr(rig.msg, "/nonexistent/token"));
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_what_is_sent),
		cmocka_unit_test(test_connection_failures),
		cmocka_unit_test(test_answers_that_are_cut),
		cmocka_unit_test(test_nobody_is_cut_off),
		cmocka_unit_test(test_free_in_callback),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_unreadable_token_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
