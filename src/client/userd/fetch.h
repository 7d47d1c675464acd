/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/fetch.h - one request to the manager over the tunnel, whose answer is a JSON object
 */
#ifndef CLIENT_USERD_FETCH_H
#define CLIENT_USERD_FETCH_H

#include <json-c/json.h>
#include <uv.h>

#include "core/attr.h"

struct err;
struct fetch;
struct uplink;

/* r 0: the object, borrowed. -ENOENT, -EACCES, -ETIMEDOUT, ...: err says what was answered. */
typedef void (*fetch_fn)(void *user, int r, json_object *object, const struct err *err);

struct fetch_config {
	uv_loop_t *loop;
	const struct uplink *uplink;
	const char *method, *path;
	json_object *body; /* borrowed; NULL: none */
	unsigned int timeout_ms;
};

/* on_done is called once, never from within. */
struct fetch *fetch_start(const struct fetch_config *config, fetch_fn on_done, void *user);
void fetch_cancel(struct fetch *fetch); /* NULL-safe; on_done is not called */

#endif /* CLIENT_USERD_FETCH_H */
