/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/filewatch.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

/* The name's folder, the file, and the folder of the file that a link leads to. */
enum place { PLACE_FOLDER, PLACE_FILE, PLACE_TARGET, PLACE_COUNT };

struct filewatch {
	uv_fs_event_t events[PLACE_COUNT];
	uv_timer_t timer;
	unsigned int handles; /* not closed yet */
	char *path;
	char target[PATH_MAX]; /* what path leads to; empty: nothing */
	void (*on_change)(void *user);
	void *user;
};

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void on_timer(uv_timer_t *timer);

static void on_event(uv_fs_event_t *event, const char *name, int events UNUSED, int status UNUSED)
{
	struct filewatch *watch = event->data;
	size_t place = (size_t)(event - watch->events);
	const char *wanted = name_of(place == PLACE_TARGET ? watch->target : watch->path);

	/* Folders tell of all their files. */
	if (place != PLACE_FILE && name && strcmp(name, wanted) != 0)
		return;
	if (!uv_is_active((uv_handle_t *)&watch->timer))
		(void)uv_timer_start(&watch->timer, on_timer, FILEWATCH_QUIET_MS, 0);
}

static int watch_folder(struct filewatch *watch, enum place place, const char *path)
{
	auto_free char *copy = xstrdup(path);

	return uv_fs_event_start(&watch->events[place], on_event, dirname(copy), 0);
}

/* What the name leads to may be another file by now. */
static void follow(struct filewatch *watch)
{
	(void)uv_fs_event_stop(&watch->events[PLACE_FILE]);
	(void)uv_fs_event_stop(&watch->events[PLACE_TARGET]);
	if (!realpath(watch->path, watch->target)) {
		watch->target[0] = '\0';
		return;
	}
	(void)uv_fs_event_start(&watch->events[PLACE_FILE], on_event, watch->target, 0);
	if (strcmp(watch->target, watch->path) != 0)
		(void)watch_folder(watch, PLACE_TARGET, watch->target);
}

static void on_timer(uv_timer_t *timer)
{
	struct filewatch *watch = container_of(timer, struct filewatch, timer);

	follow(watch);
	watch->on_change(watch->user);
}

int filewatch_new(uv_loop_t *loop, const char *path, void (*on_change)(void *user), void *user,
	struct filewatch **ret_watch, struct err *err)
{
	struct filewatch *watch = XNEW(struct filewatch);
	int r;

	watch->path = xstrdup(path);
	watch->on_change = on_change;
	watch->user = user;
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		(void)uv_fs_event_init(loop, &watch->events[i]);
		watch->events[i].data = watch;
	}
	(void)uv_timer_init(loop, &watch->timer);
	watch->handles = PLACE_COUNT + 1;
	r = watch_folder(watch, PLACE_FOLDER, path);
	if (r < 0) {
		filewatch_free(watch);
		return err_set_errno(err, r, "watch %s", path);
	}
	follow(watch);
	*ret_watch = watch;
	return 0;
}

static void closed(struct filewatch *watch)
{
	if (--watch->handles > 0)
		return;
	free(watch->path);
	free(watch);
}

static void on_event_closed(uv_handle_t *handle)
{
	closed(handle->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
	closed(container_of((uv_timer_t *)handle, struct filewatch, timer));
}

void filewatch_free(struct filewatch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < PLACE_COUNT; i++)
		uv_close((uv_handle_t *)&watch->events[i], on_event_closed);
	uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
}
