/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/filewatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/err.h"

#define DEADLINE_MS 20000

struct rig {
	uv_loop_t loop;
	char folder[64], path[128], other[128];
	struct filewatch *watch;
	int changes;
};

static void on_change(void *user)
{
	((struct rig *)user)->changes++;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void on_late(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

/* Runs until a change is told, or for so long; whether one was. */
static bool told(struct rig *rig, unsigned int ms)
{
	int before = rig->changes;
	uv_timer_t late;

	uv_timer_init(&rig->loop, &late);
	uv_timer_start(&late, on_late, ms, 0);
	while (rig->changes == before && uv_is_active((uv_handle_t *)&late))
		uv_run(&rig->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&late, NULL);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	return rig->changes > before;
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	(void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/tp-filewatch-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	(void)snprintf(rig->path, sizeof(rig->path), "%s/resolv.conf", rig->folder);
	(void)snprintf(rig->other, sizeof(rig->other), "%s/other", rig->folder);
	*state = rig;
	return 0;
}

static void watch(struct rig *rig)
{
	struct err err = ERR_INIT;

	assert_int_equal(
		filewatch_new(&rig->loop, rig->path, on_change, rig, &rig->watch, &err), 0);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	filewatch_free(rig->watch);
	while (uv_run(&rig->loop, UV_RUN_DEFAULT) != 0)
		;
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	(void)unlink(rig->path);
	(void)unlink(rig->other);
	assert_int_equal(rmdir(rig->folder), 0);
	free(rig);
	return 0;
}

static void test_written_in_place(void **state)
{
	struct rig *rig = *state;

	put(rig->path, "a");
	watch(rig);
	assert_false(told(rig, 200));
	put(rig->path, "b");
	assert_true(told(rig, DEADLINE_MS));
	put(rig->path, "c");
	assert_true(told(rig, DEADLINE_MS));
}

static void test_replaced(void **state)
{
	struct rig *rig = *state;

	put(rig->path, "a");
	watch(rig);
	for (int i = 0; i < 3; i++) {
		put(rig->other, "b");
		assert_false(told(rig, 200));
		assert_int_equal(rename(rig->other, rig->path), 0);
		assert_true(told(rig, DEADLINE_MS));
	}
	assert_int_equal(unlink(rig->path), 0);
	assert_true(told(rig, DEADLINE_MS));
	put(rig->path, "c");
	assert_true(told(rig, DEADLINE_MS));
}

/* As NetworkManager and systemd-resolved do it: a link to a file elsewhere, which is replaced. */
static void test_behind_a_link(void **state)
{
	struct rig *rig = *state;
	char folder[64] = "/tmp/tp-filewatch-XXXXXX", target[128], next[128];

	assert_non_null(mkdtemp(folder));
	(void)snprintf(target, sizeof(target), "%s/target", folder);
	(void)snprintf(next, sizeof(next), "%s/next", folder);
	assert_int_equal(symlink(target, rig->path), 0);
	watch(rig);
	put(target, "a");
	/* Nobody watches a folder that nothing led to; a new link is seen. */
	assert_int_equal(unlink(rig->path), 0);
	assert_int_equal(symlink(target, rig->path), 0);
	assert_true(told(rig, DEADLINE_MS));
	for (int i = 0; i < 3; i++) {
		put(next, "b");
		assert_int_equal(rename(next, target), 0);
		assert_true(told(rig, DEADLINE_MS));
	}
	put(target, "c");
	assert_true(told(rig, DEADLINE_MS));
	assert_int_equal(unlink(target), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void test_no_folder(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;
	struct filewatch *none;

	assert_true(filewatch_new(&rig->loop, "/nowhere/at/all", on_change, rig, &none, &err) < 0);
	assert_non_null(strstr(err.msg, "/nowhere/at/all"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written_in_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_behind_a_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_folder, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
