/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/control.h - the agent's control stream: messages of docs/agent.md, section 3
 *
 * Made on a ready link; says hello. on_over comes once, when the stream has ended; then, or at any
 * other time and in any callback, control_free().
 */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/engine.h"
#include "core/attr.h"
#include "net/addr.h"

#define CONTROL_IDLE_MAX_S (7 * 24 * 3600)

struct control;
struct err;

struct control_config {
	int64_t generation;
	uint32_t idle_s; /* 1..CONTROL_IDLE_MAX_S */
	struct engine_config engine; /* nodes: what the manager knows of them */
};

struct control_expect {
	uint32_t id;
	struct ip_endpoint source;
	uint16_t port;
	uint8_t protocol;
};

struct control_events {
	void (*on_config)(void *user, const struct control_config *config);
	void (*on_expect)(void *user, const struct control_expect *expect);
	void (*on_env)(void *user, int64_t id);
	void (*on_reach)(void *user); /* open the connection on which this serves */
	void (*on_exit)(void *user, const char *reason);
	void (*on_over)(void *user, const struct err *err);
};

NODISCARD int control_new(struct h2_session *h2, const char *name, const char *container,
	const struct control_events *events, void *user, struct control **ret_control);
/* r < 0: what the configuration of that generation could not do, and why. */
void control_send_state(struct control *control, int64_t generation, int r, const struct err *err);
void control_send_expecting(struct control *control, uint32_t id);
void control_send_captured(struct control *control, uint32_t id);
void control_send_env(struct control *control, int64_t id, json_object *env); /* takes env */
void control_send_count(
	struct control *control, const char *intercept, const struct engine_counts *counts);
void control_free(struct control *control); /* NULL-safe */

/* A line of the manager, parsed. *ret_config is whole or untouched. */
NODISCARD int control_parse_config(
	json_object *line, struct control_config *ret_config, struct err *err);
NODISCARD int control_parse_expect(json_object *line, struct control_expect *ret_expect);

#endif /* AGENT_CONTROL_H */
