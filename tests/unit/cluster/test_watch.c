/* SPDX-License-Identifier: Apache-2.0 */
/* A watch over canned lists and streams: pages, resumption, 410, broken lines, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/fake_api.h"
#include "cluster/fake_clock.h"
#include "cluster/json.h"
#include "cluster/watch.h"
#include "core/err.h"

struct step {
	const char *expects; /* part of the request line */
	int status;
	const char *body;
};

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct kube_watch *watch;
	const struct step *steps;
	size_t step, count;
	char log[512]; /* "+a1 ~a2 -a2 S E " */
	bool stop_at_first, silent;
	int busy; /* so often it is */
};

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	const struct step *step = NULL;

	if (rig->step == rig->count)
		return NULL;
	step = &rig->steps[rig->step++];
	if (!strstr(head, step->expects))
		fail_msg("step %zu: not \"%s\" in %s", rig->step, step->expects, head);
	return fake_json(step->status, step->body);
}

static void note(struct rig *rig, const char *what)
{
	size_t len = strlen(rig->log);

	(void)snprintf(rig->log + len, sizeof(rig->log) - len, "%s ", what);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct rig *rig = user;
	auto_free char *text =
		xasprintf("%c%s%s", "+~-"[event], json_text_or(object, "metadata.name", "?"),
			json_text_or(object, "metadata.resourceVersion", "?"));

	note(rig, text);
	if (rig->stop_at_first)
		kube_watch_stop(TAKE_PTR(rig->watch));
}

static void on_synced(void *user)
{
	note(user, "S");
}

static void on_error(void *user, const struct err *err)
{
	assert_true(err->msg[0]);
	note(user, "E");
}

static void run(struct rig *rig, const struct step *steps, size_t count, const char *path)
{
	static const struct kube_watch_events events = {on_event, on_synced, on_error};
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	rig->steps = steps;
	rig->count = count;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	rig->api.answer = answer;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	rig->watch = kube_watch_start(rig->client, path, &events, rig);
	/* The request after the last step shows that the last answer has been dealt with. */
	while (rig->watch && rig->api.requests <= (int)count)
		fake_clock_turn(&rig->loop);
	kube_watch_stop(rig->watch);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
}

#define META(name, version) \
	"{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, next, items) \
	"{\"metadata\":{\"resourceVersion\":\"" version "\",\"continue\":\"" next \
	"\"},\"items\":[" items "]}"
#define LINE(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

static void test_pages_then_watch_then_resume(void **state UNUSED)
{
	static const struct step steps[] = {
		{"GET /c?a=b&limit=500 ", 200, LIST("10", "p+2", META("a", "1"))},
		{"&continue=p%2B2 ", 200, LIST("10", "", META("b", "2"))},
		{"&resourceVersion=10&", 200,
			LINE("MODIFIED", META("a", "11")) LINE("DELETED", META("b", "12"))
				LINE("BOOKMARK", META("", "20"))},
		{"&resourceVersion=20&", 200, LINE("ADDED", META("c", "21"))},
	};
	struct rig rig = {.log = ""};

	run(&rig, steps, ARRAY_SIZE(steps), "/c?a=b");
	assert_string_equal(rig.log, "+a1 +b2 S ~a11 -b12 +c21 ");
}

/* After 410, by status or in the stream, a new list tells what has vanished. */
static void test_gone_lists_again(void **state UNUSED)
{
	static const struct step steps[] = {
		{"GET /c?limit=500 ", 200, LIST("10", "", META("a", "1") "," META("b", "1"))},
		{"&resourceVersion=10&", 410, "{\"code\":410}"},
		{"GET /c?limit=500 ", 200, LIST("30", "", META("b", "5"))},
		{"&resourceVersion=30&", 200,
			LINE("ERROR", "{\"code\":410}") LINE("ADDED", META("x", "31"))},
		{"GET /c?limit=500 ", 200, LIST("40", "", "")},
	};
	struct rig rig = {.log = ""};

	run(&rig, steps, ARRAY_SIZE(steps), "/c");
	assert_string_equal(rig.log, "+a1 +b1 S ~b5 -a1 +x31 -b5 -x31 ");
}

static void test_failures_are_told_and_retried(void **state UNUSED)
{
	static const struct step steps[] = {
		{"limit=500", 403, "{\"message\":\"no\"}"},
		{"limit=500", 200, LIST("1", "", "")},
		{"&resourceVersion=1&", 500, "{}"},
		{"&resourceVersion=1&", 200, "{\"type\":\n"},
		{"limit=500", 200, LIST("2", "", META("a", "2"))},
	};
	struct rig rig = {.log = ""};

	run(&rig, steps, ARRAY_SIZE(steps), "/c");
	assert_string_equal(rig.log, "E S E E +a2 ");
}

static char *answer_alone(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	if (strncmp(head, "GET /other", 10) == 0)
		return fake_json(200, "{}");
	if (rig->silent)
		return xstrdup("");
	/* As one that has just been started. */
	return rig->busy-- > 0 ? fake_json(429, "{}")
			       : fake_json(200, LIST("1", "", META("a", "1")));
}

static void on_other(void *user, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err UNUSED)
{
	assert_int_equal(r, 0);
	((struct rig *)user)->step++;
}

/* The server is gone for so long that the next try is seconds away; another request finds it again.
 * Then it is tried at once, and as often as one that was never away. */
static void test_somebody_heard_the_server(void **state UNUSED)
{
	static const struct kube_watch_events events = {on_event, on_synced, on_error};
	const struct kube_request_config other = {.method = "GET", .path = "/other"};
	struct rig rig = {.log = "", .silent = true, .busy = 1};
	struct kube_config config = {.context = (char[]){"ctx"}};
	uint64_t begun_ms = 0;

	assert_int_equal(uv_loop_init(&rig.loop), 0);
	rig.api.answer = answer_alone;
	rig.api.close_after = true;
	fake_start(&rig.api, &rig.loop);
	config.server = rig.api.url;
	assert_int_equal(kube_client_new(&rig.loop, &config, &rig.client, NULL), 0);
	rig.watch = kube_watch_start(rig.client, "/c", &events, &rig);
	/* 0.2, 0.4, 0.8, 1.6 s: the fifth is 1.6 to 3.2 s away. */
	while (strlen(rig.log) < 5 * strlen("E "))
		fake_clock_turn(&rig.loop);
	rig.silent = false;
	begun_ms = uv_now(&rig.loop);
	kube_request(rig.client, &other, on_other, &rig, NULL);
	while (!strstr(rig.log, "S"))
		fake_clock_turn(&rig.loop);
	assert_int_equal(rig.step, 1);
	assert_true(uv_now(&rig.loop) - begun_ms < 1400);
	assert_string_equal(rig.log, "E E E E E E +a1 S ");
	kube_watch_stop(rig.watch);
	kube_client_free(rig.client);
	fake_stop(&rig.api);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
}

static void test_stop_in_callback(void **state UNUSED)
{
	static const struct step lists[] = {
		{"limit=500", 200, LIST("1", "", META("a", "1") "," META("b", "1"))},
	};
	static const struct step lines[] = {
		{"limit=500", 200, LIST("1", "", "")},
		{"&resourceVersion=1&", 200,
			LINE("ADDED", META("a", "2")) LINE("ADDED", META("b", "3"))},
	};
	struct rig rig = {.stop_at_first = true};

	run(&rig, lists, ARRAY_SIZE(lists), "/c");
	assert_string_equal(rig.log, "+a1 ");
	rig = (struct rig){.stop_at_first = true};
	run(&rig, lines, ARRAY_SIZE(lines), "/c");
	assert_string_equal(rig.log, "S +a2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_then_watch_then_resume),
		cmocka_unit_test(test_gone_lists_again),
		cmocka_unit_test(test_failures_are_told_and_retried),
		cmocka_unit_test(test_somebody_heard_the_server),
		cmocka_unit_test(test_stop_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
