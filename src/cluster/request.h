/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/request.h - what watches and upgrades need of a client beyond client.h
 *
 * Internal to the folder.
 */
#ifndef CLUSTER_REQUEST_H
#define CLUSTER_REQUEST_H

#include "cluster/auth.h"
#include "cluster/client.h"
#include "core/buf.h"

/* New bytes of a 2xx body, in order; consume what is used up, the rest comes again with more. */
typedef void (*kube_chunk_fn)(void *user, struct buf *body);

/* A GET without a deadline. on_done comes at its end: r 0 when the server ended it in order. */
void kube_stream(struct kube_client *client, const char *path, kube_chunk_fn on_chunk,
	kube_done_fn on_done, void *user, struct kube_request **ret_request);

/* How often the server was heard again after something had got no answer at all. Who waits to try
 * again need not wait any longer when it has changed. */
unsigned int kube_client_returns(const struct kube_client *client);
/* It answered, on a connection that is not this client's own. */
void kube_client_heard(struct kube_client *client);

uv_loop_t *kube_client_loop(const struct kube_client *client);
const struct kube_config *kube_client_config(const struct kube_client *client);
struct kube_auth *kube_client_auth(const struct kube_client *client);

#endif /* CLUSTER_REQUEST_H */
