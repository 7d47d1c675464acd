/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/counting.h - whose counts have changed: each is told at most once a second
 *
 * Loop thread only.
 */
#ifndef AGENT_COUNTING_H
#define AGENT_COUNTING_H

#include <uv.h>

#include "agent/engine.h"

struct counting {
	uv_timer_t timer; /* until the next ones are told */
	void (*tell)(void *user, const char *intercept);
	void *user;
	char changed[INTERCEPT_PORTS][ENGINE_UID_BYTES];
	size_t count;
};

void counting_init(struct counting *counting, uv_loop_t *loop,
	void (*tell)(void *user, const char *intercept), void *user);
void counting_changed(struct counting *counting, const char *intercept);
void counting_tell(struct counting *counting); /* all that has changed, now */
void counting_stop(struct counting *counting); /* closes its handle */

#endif /* AGENT_COUNTING_H */
