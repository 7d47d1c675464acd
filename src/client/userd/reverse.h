/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/reverse.h - the carrier on which the manager brings intercepted connections
 *
 * Opened when it is first wanted and kept until reverse_free(); a lost one is opened again after
 * 0.1 to 1 s. Every Session needs one of its own: reverse_session() tells which is current.
 */
#ifndef CLIENT_USERD_REVERSE_H
#define CLIENT_USERD_REVERSE_H

#include <stdbool.h>
#include <uv.h>

#include "cluster/carrier.h"
#include "core/attr.h"

struct h2_head;
struct h2_stream;
struct kube_client;
struct reverse;
struct session_key;

struct reverse_config {
	uv_loop_t *loop;
	struct kube_client *client;
	const char *manager_namespace; /* these three are borrowed */
	const struct session_key *key;
	enum kube_carrier_kind carrier_kind;
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	void (*on_ready)(void *user); /* each time that it has been opened */
	void *user;
};

struct reverse *reverse_new(const struct reverse_config *config);
void reverse_free(struct reverse *reverse); /* resets what it carries; NULL-safe, deferred */
/* The current Session; NULL: none. Another one than before opens it anew; the same one says that
 * the manager answers again. */
void reverse_session(struct reverse *reverse, const char *uid);
/* From now on it is wanted. */
void reverse_want(struct reverse *reverse);
/* Connections that are served now. */
size_t reverse_streams(const struct reverse *reverse);
/* The path may have changed (tunnel_client_check()). */
void reverse_check(struct reverse *reverse);
bool reverse_is_ready(const struct reverse *reverse);

#endif /* CLIENT_USERD_REVERSE_H */
