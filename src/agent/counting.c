/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/counting.h"

#include <stdio.h>
#include <string.h>

#include "core/attr.h"

#define COUNT_MS 1000

static void on_timer(uv_timer_t *timer)
{
	struct counting *counting = timer->data;

	/* The next ones wait for their turn; without any the timer rests. */
	if (counting->count > 0)
		(void)uv_timer_start(timer, on_timer, COUNT_MS, 0);
	counting_tell(counting);
}

void counting_init(struct counting *counting, uv_loop_t *loop,
	void (*tell)(void *user, const char *intercept), void *user)
{
	*counting = (struct counting){.tell = tell, .user = user};
	(void)uv_timer_init(loop, &counting->timer);
	counting->timer.data = counting;
}

void counting_changed(struct counting *counting, const char *intercept)
{
	for (size_t i = 0; i < counting->count; i++) {
		if (strcmp(counting->changed[i], intercept) == 0)
			return;
	}
	if (counting->count == ARRAY_SIZE(counting->changed))
		return;
	(void)snprintf(counting->changed[counting->count++], ENGINE_UID_BYTES, "%s", intercept);
	if (!uv_is_active((uv_handle_t *)&counting->timer))
		(void)uv_timer_start(&counting->timer, on_timer, 0, 0);
}

void counting_tell(struct counting *counting)
{
	for (size_t i = 0; i < counting->count; i++)
		counting->tell(counting->user, counting->changed[i]);
	counting->count = 0;
}

void counting_stop(struct counting *counting)
{
	uv_close((uv_handle_t *)&counting->timer, NULL);
}
