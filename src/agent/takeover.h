/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/takeover.h - configurations that the engine takes, now or when another agent has gone
 *
 * For a moment a pod can have two agents, of which the kernel gives the rules to one. The other
 * tries again until they are free. That is soon when the first was told to exit, and within
 * PROGRAM_RULES_KEPT_MS when it has lost its manager.
 *
 * Borrows the engine, which must be there until takeover_stop(). Loop thread only.
 */
#ifndef AGENT_TAKEOVER_H
#define AGENT_TAKEOVER_H

#include <uv.h>

#include "agent/control.h"
#include "core/attr.h"

/* Longer than an agent without a manager keeps its rules. */
#define TAKEOVER_MS 12000

struct engine;
struct err;

/* The configuration holds (0), or why not. After TAKEOVER_MS -EBUSY is told, and it holds all the
 * same, told by another call, when the rules are free after all. */
typedef void (*takeover_fn)(
	void *user, const struct control_config *config, int r, const struct err *err);

struct takeover {
	struct engine *engine;
	takeover_fn on_tried;
	void *user;
	uv_timer_t timer; /* runs while the rules are somebody else's */
	struct control_config config;
	uint64_t since_ms, pause_ms;
	bool told;
};

void takeover_init(struct takeover *takeover, uv_loop_t *loop, struct engine *engine,
	takeover_fn on_tried, void *user);
/* Instead of what is still waited for. on_tried comes from within unless somebody is in the way. */
void takeover_configure(struct takeover *takeover, const struct control_config *config);
void takeover_cancel(struct takeover *takeover); /* nothing is waited for any more */
void takeover_stop(struct takeover *takeover); /* closes its handle */

#endif /* AGENT_TAKEOVER_H */
