/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/session_steps.h - what the states of a session do when they are entered
 *
 * Each starts one thing, whose callback leaves the state by session_enter(), session_fail() or
 * session_retry().
 */
#ifndef CLIENT_USERD_SESSION_STEPS_H
#define CLIENT_USERD_SESSION_STEPS_H

#define SESSION_API        "telepresence.io/v1alpha1"
#define SESSION_HOST_BYTES 66

struct session;

/* session_kube.c */
void session_identify(struct session *session);
void session_register(struct session *session);
void session_install(struct session *session);
void session_check(struct session *session);
void session_host(char out[static SESSION_HOST_BYTES]);

/* session_tunnel.c */
void session_open(struct session *session);
void session_learn(struct session *session);

/* session_net.c */
void session_resolve(struct session *session);
/* Beside another state: once there is a network, it follows. */
void session_resolve_again(struct session *session);
void session_network(struct session *session);
void session_test(struct session *session);
/* Names are looked up in the namespaces of the intercepts, too, as they are now. user: session. */
void session_search(void *user);

#endif /* CLIENT_USERD_SESSION_STEPS_H */
