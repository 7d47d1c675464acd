/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as a change, and the lines of a watch. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "cluster/watch_store.h"
#include "core/alloc.h"

static json_object *object(const char *name, const char *version)
{
	auto_free char *text = xasprintf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\","
					 "\"resourceVersion\":\"%s\",\"managedFields\":[1]}}",
		name, version);

	return json_parse(text, strlen(text));
}

/* -1: no news. */
static int put(struct watch_store *store, const char *name, const char *version)
{
	json_object *value = object(name, version);
	enum kube_event event = KUBE_DELETED;
	bool news = watch_store_put(store, value, &event);

	assert_null(json_path(value, "metadata.managedFields"));
	json_object_put(value);
	return news ? (int)event : -1;
}

static void test_changes(void **state UNUSED)
{
	struct watch_store store = {.items = NULL};
	json_object *gone = object("a", "9");

	assert_int_equal(put(&store, "a", "1"), KUBE_ADDED);
	assert_int_equal(put(&store, "a", "1"), -1);
	assert_int_equal(put(&store, "a", "2"), KUBE_MODIFIED);
	assert_true(watch_store_remove(&store, gone));
	assert_false(watch_store_remove(&store, gone));
	assert_int_equal(put(&store, "a", "2"), KUBE_ADDED);
	json_object_put(gone);
	watch_store_done(&store);
}

/* Deleted and made again between two looks: one has gone, another one has come. */
static void test_made_again_under_its_name(void **state UNUSED)
{
	static const char first[] = "{\"metadata\":{\"name\":\"a\",\"uid\":\"1\"}}";
	static const char second[] = "{\"metadata\":{\"name\":\"a\",\"uid\":\"2\"}}";
	json_object *before = json_parse(first, strlen(first));
	json_object *after = json_parse(second, strlen(second)), *former = NULL;
	struct watch_store store = {.items = NULL};
	enum kube_event event = KUBE_DELETED;

	assert_null(watch_store_take_former(&store, before));
	assert_true(watch_store_put(&store, before, &event));
	assert_null(watch_store_take_former(&store, before));
	former = watch_store_take_former(&store, after);
	assert_ptr_equal(former, before);
	json_object_put(former);
	assert_true(watch_store_put(&store, after, &event));
	assert_int_equal(event, KUBE_ADDED);
	assert_null(watch_store_take_former(&store, after));
	json_object_put(before);
	json_object_put(after);
	watch_store_done(&store);
}

static void test_vanished_in_a_new_list(void **state UNUSED)
{
	struct watch_store store = {.items = NULL};
	json_object *gone = NULL;

	watch_store_begin_list(&store);
	assert_int_equal(put(&store, "a", "1"), KUBE_ADDED);
	assert_int_equal(put(&store, "b", "1"), KUBE_ADDED);
	assert_null(watch_store_take_vanished(&store));
	watch_store_begin_list(&store);
	assert_int_equal(put(&store, "a", "1"), -1);
	gone = watch_store_take_vanished(&store);
	assert_string_equal(json_text(gone, "metadata.name"), "b");
	json_object_put(gone);
	assert_null(watch_store_take_vanished(&store));
	watch_store_done(&store);
}

static void test_lines(void **state UNUSED)
{
	static const struct {
		const char *text;
		int r;
		enum watch_line_type type;
		enum kube_event event;
		const char *version;
	} cases[] = {
		{"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}", 0,
			WATCH_LINE_EVENT, KUBE_ADDED, "7"},
		{"{\"type\":\"DELETED\",\"object\":{}}\r", 0, WATCH_LINE_EVENT, KUBE_DELETED, ""},
		{"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"8\"}}}", 0,
			WATCH_LINE_BOOKMARK, KUBE_ADDED, "8"},
		{"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}", 0,
			WATCH_LINE_GONE, KUBE_ADDED, ""},
		{"{\"type\":\"ERROR\",\"object\":{\"code\":500}}", 0, WATCH_LINE_ERROR, KUBE_ADDED,
			""},
		{"{\"type\":\"NEW\",\"object\":{}}", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"{\"type\":\"ADDED\"}", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"{\"type\":\"ADDED\",\"object\":[]}", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"{\"type\":\"ADDED\",\"object\":{}", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"{\"type\":\"ADDED\",\"object\":{}}x", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":"
		 "\"0123456789012345678901234567890123456789012345678901234567890123\"}}}",
			-EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
		{"", -EPROTO, WATCH_LINE_EVENT, KUBE_ADDED, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct watch_line line = {.object = NULL};
		int r = watch_line_parse(cases[i].text, strlen(cases[i].text), &line);

		if (r != cases[i].r)
			fail_msg("case %zu: r %d", i, r);
		if (r < 0)
			continue;
		assert_int_equal(line.type, cases[i].type);
		assert_string_equal(line.version, cases[i].version);
		if (line.type == WATCH_LINE_EVENT)
			assert_int_equal(line.event, cases[i].event);
		json_object_put(line.object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_made_again_under_its_name),
		cmocka_unit_test(test_vanished_in_a_new_list),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
