/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/server.h - the user daemon's listener: command lines ask, are told, and hang up
 *
 * A peer sends one request and gets any number of progress lines, then one result. on_gone is
 * called when it hangs up before that; a peer that was answered is closed by the server itself.
 * Threading: loop thread only.
 */
#ifndef CLIENT_USERD_SERVER_H
#define CLIENT_USERD_SERVER_H

#include <json-c/json.h>
#include <uv.h>

#include "core/attr.h"

struct err;
struct userd_peer;
struct userd_server;

struct userd_server_events {
	/* Borrowed object. Answer now or later with userd_peer_done() or userd_peer_failed(). */
	void (*on_request)(void *user, struct userd_peer *peer, json_object *request);
	void (*on_gone)(void *user, struct userd_peer *peer);
};

/* -EADDRINUSE: another user daemon of this uid serves this network namespace. */
NODISCARD int userd_server_new(uv_loop_t *loop, const struct userd_server_events *events,
	void *user, struct userd_server **ret_server, struct err *err);
/* Closes the listener and, once what was said to them is sent, the peers; deferred. */
void userd_server_free(struct userd_server *server);

void userd_peer_progress(struct userd_peer *peer, const char *line);
/* A result that is not the end yet: the peer hears of that as well, and may hang up before. Takes
 * it. */
void userd_peer_active(struct userd_peer *peer, json_object *result);
/* The final answer; takes the result (NULL: an empty one). The peer is dead afterwards. */
void userd_peer_done(struct userd_peer *peer, json_object *result);
/* hint: what to do next, or NULL. */
void userd_peer_failed(struct userd_peer *peer, const struct err *err, const char *hint);

#endif /* CLIENT_USERD_SERVER_H */
