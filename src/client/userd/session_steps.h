/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/session_steps.h - what the states of a session do when they are entered
 *
 * Each starts one thing, whose callback leaves the state by session_enter(), session_fail() or
 * session_retry().
 */
#ifndef CLIENT_USERD_SESSION_STEPS_H
#define CLIENT_USERD_SESSION_STEPS_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

#define SESSION_API         "telepresence.io/v1alpha1"
#define SESSION_HOST_BYTES  66
#define SESSION_PLACE_BYTES 72

struct session;

/* Who made a Session, and where; all borrowed. */
struct session_maker {
	const char *owner, *host, *place, *uid;
};

/* session_kube.c */
void session_identify(struct session *session);
void session_register(struct session *session);
void session_install(struct session *session);
void session_check(struct session *session);
void session_host(char out[static SESSION_HOST_BYTES]);

/* session_stale.c */
/* Deletes Sessions that were left here by daemons which are gone. */
void session_drop_stale(struct session *session);
NODISCARD bool session_is_stale(json_object *object, const struct session_maker *maker);
/* Where this daemon is the only one of its kind; empty and -errno when nobody can say. */
NODISCARD int session_place(char out[static SESSION_PLACE_BYTES]);

/* session_tunnel.c */
void session_open(struct session *session);
void session_prove(struct session *session);
void session_learn(struct session *session);

/* session_net.c */
void session_resolve(struct session *session);
void session_network(struct session *session);
void session_test(struct session *session);

#endif /* CLIENT_USERD_SESSION_STEPS_H */
