/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agent_control.h - the control stream of one agent: lines of JSON both ways
 *
 * docs/agent.md, section 3. A line of more than LIMIT_CONTROL_BODY_BYTES, one that is no JSON
 * object with a type, and a peer that does not read its own lines end the stream: on_over, once.
 */
#ifndef MANAGER_AGENT_CONTROL_H
#define MANAGER_AGENT_CONTROL_H

#include <json-c/json.h>

#include "core/attr.h"
#include "tunnel/h2.h"

struct agent_control;
struct err;

struct agent_control_events {
	/* A negative result ends the stream with *err. */
	int (*on_line)(void *user, const char *type, json_object *line, struct err *err);
	void (*on_over)(void *user, const struct err *err);
};

/* Answers the request: 200, and lines in both bodies. */
struct agent_control *agent_control_new(
	struct h2_stream *stream, const struct agent_control_events *events, void *user);
void agent_control_send(struct agent_control *control, json_object *line); /* takes the line */
/* In any callback; no event follows. The stream is not touched. NULL-safe. */
void agent_control_free(struct agent_control *control);

#endif /* MANAGER_AGENT_CONTROL_H */
