/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/nswatch.h"

#include "core/alloc.h"
#include "resolv/resolvconf.h"

static const char *const paths[] = {"/etc/resolv.conf", RESOLV_UPLINKS};

struct nswatch {
	uv_timer_t timer;
	uv_fs_event_t files[ARRAY_SIZE(paths)];
	unsigned int handles;
	void (*on_change)(void *user);
	void *user;
};

static void on_timer(uv_timer_t *timer);

static void on_file(
	uv_fs_event_t *file, const char *name UNUSED, int events UNUSED, int status UNUSED)
{
	struct nswatch *watch = file->data;

	if (!uv_is_active((uv_handle_t *)&watch->timer))
		(void)uv_timer_start(&watch->timer, on_timer, NSWATCH_QUIET_MS, 0);
}

/* By path again: a file that was replaced is another one. */
static void arm(struct nswatch *watch)
{
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		(void)uv_fs_event_stop(&watch->files[i]);
		(void)uv_fs_event_start(&watch->files[i], on_file, paths[i], 0);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct nswatch *watch = timer->data;

	arm(watch);
	watch->on_change(watch->user);
}

struct nswatch *nswatch_new(uv_loop_t *loop, void (*on_change)(void *user), void *user)
{
	struct nswatch *watch = XNEW(struct nswatch);

	watch->on_change = on_change;
	watch->user = user;
	(void)uv_timer_init(loop, &watch->timer);
	watch->timer.data = watch;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		(void)uv_fs_event_init(loop, &watch->files[i]);
		watch->files[i].data = watch;
	}
	watch->handles = 1 + ARRAY_SIZE(paths);
	arm(watch);
	return watch;
}

static void on_closed(uv_handle_t *handle)
{
	struct nswatch *watch = handle->data;

	if (--watch->handles == 0)
		free(watch);
}

void nswatch_free(struct nswatch *watch)
{
	if (!watch)
		return;
	uv_close((uv_handle_t *)&watch->timer, on_closed);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		uv_close((uv_handle_t *)&watch->files[i], on_closed);
}
