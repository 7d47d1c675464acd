/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/takeover.h"

#include <errno.h>

#include "agent/engine.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

/* The kernel tells nobody that a table went with its owner, so that it has to be asked. */
#define TRY_FIRST_MS 10
#define TRY_LAST_MS  100

static void try_now(struct takeover *takeover);

static void on_timer(uv_timer_t *timer)
{
	try_now(timer->data);
}

static void try_later(struct takeover *takeover)
{
	uint64_t now = uv_now(takeover->timer.loop);
	struct err err = ERR_INIT;

	(void)uv_timer_start(&takeover->timer, on_timer, takeover->pause_ms, 0);
	takeover->pause_ms = MIN(takeover->pause_ms * 2, (uint64_t)TRY_LAST_MS);
	if (takeover->told || now - takeover->since_ms < TAKEOVER_MS)
		return;
	takeover->told = true;
	err_set(&err, -EBUSY, ERR_CONFLICT,
		"another process of this pod has table inet telepresence, and has kept it for %d s",
		TAKEOVER_MS / 1000);
	takeover->on_tried(takeover->user, &takeover->config, -EBUSY, &err);
}

static void try_now(struct takeover *takeover)
{
	struct err err = ERR_INIT;
	int r = engine_configure(takeover->engine, &takeover->config.engine, &err);

	if (r == -EBUSY)
		try_later(takeover);
	else
		takeover->on_tried(takeover->user, &takeover->config, r, &err);
}

void takeover_init(struct takeover *takeover, uv_loop_t *loop, struct engine *engine,
	takeover_fn on_tried, void *user)
{
	*takeover = (struct takeover){.engine = engine, .on_tried = on_tried, .user = user};
	(void)uv_timer_init(loop, &takeover->timer);
	takeover->timer.data = takeover;
}

void takeover_configure(struct takeover *takeover, const struct control_config *config)
{
	bool waited = uv_is_active((const uv_handle_t *)&takeover->timer);

	takeover_cancel(takeover);
	takeover->config = *config;
	takeover->pause_ms = TRY_FIRST_MS;
	takeover->told = false;
	/* However often it is told something else meanwhile, it waits for the same. */
	if (!waited)
		takeover->since_ms = uv_now(takeover->timer.loop);
	try_now(takeover);
	if (!waited && uv_is_active((const uv_handle_t *)&takeover->timer))
		log_info("another agent of this pod has the rules", "waiting_ms=%d", TAKEOVER_MS);
}

void takeover_cancel(struct takeover *takeover)
{
	(void)uv_timer_stop(&takeover->timer);
}

void takeover_stop(struct takeover *takeover)
{
	uv_close((uv_handle_t *)&takeover->timer, NULL);
}
