/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/waits.h - commands that wait for something of the connection, and how that is ended
 *
 * One for each such request, from userd_wait_new() until it is answered, its peer hangs up
 * (userd_waits_gone), or the connection ends (userd_waits_end).
 */
#ifndef CLIENT_USERD_WAITS_H
#define CLIENT_USERD_WAITS_H

#include <json-c/json.h>
#include <uv.h>

#include "client/userd/intercepts.h"
#include "core/attr.h"
#include "core/err.h"

struct fetch;
struct userd;
struct userd_peer;
struct workloads;

struct userd_wait {
	struct userd *userd;
	struct userd_peer *peer;
	/* Ends what is under way, which does not call back any more. */
	void (*cancel)(struct userd_wait *wait);
	char *namespace; /* that it is about; NULL: the connection's, or none */
	/* What it waits for: one of these. */
	struct workloads *workloads;
	struct fetch *fetch;
	struct intercept_wait intercept;
	bool hold; /* the intercept goes with the peer, which hears of its end */
	struct intercept_wait *leaves; /* owned; `leaving` of them are not answered yet */
	size_t leave_count, leaving;
	struct err unknown; /* names that there is nothing of; code 0: none */
	uv_timer_t *timer; /* of short patience; NULL: none */
	struct userd_wait *next, *prev;
};

struct userd_wait *userd_wait_new(
	struct userd *userd, struct userd_peer *peer, void (*cancel)(struct userd_wait *wait));
/* Answer the peer and free the wait; done takes the result. */
void userd_wait_done(struct userd_wait *wait, json_object *result);
void userd_wait_failed(struct userd_wait *wait, const struct err *err, const char *hint);

/* The peer hung up. */
void userd_waits_gone(struct userd *userd, const struct userd_peer *peer);
/* The connection ends: all are told. */
void userd_waits_end(struct userd *userd);

#endif /* CLIENT_USERD_WAITS_H */
