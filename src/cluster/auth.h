/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/auth.h - credentials that are not written in the kubeconfig: token files, exec plugins
 *
 * Internal to the folder. A token file is read again when it has changed. A plugin runs as a child
 * process with a deadline; its answer is kept until it expires or is refused (kube_auth_refused).
 */
#ifndef CLUSTER_AUTH_H
#define CLUSTER_AUTH_H

#include <uv.h>

#include "cluster/transport.h"

struct kube_auth;
struct kube_auth_wait;

/* credential is borrowed for the call. r < 0: err says why there is none. Must neither free the
 * auth nor ask it again; cancelling other waits is fine. The wait is gone. */
typedef void (*kube_auth_fn)(
	void *user, int r, const struct kube_credential *credential, const struct err *err);

/* config is borrowed and outlives it. */
struct kube_auth *kube_auth_new(uv_loop_t *loop, const struct kube_config *config);
void kube_auth_free(struct kube_auth *auth); /* nobody waits any more; deferred */

/* Calls fn once, now (then *ret_wait is NULL) or later. */
void kube_auth_get(
	struct kube_auth *auth, kube_auth_fn fn, void *user, struct kube_auth_wait **ret_wait);
void kube_auth_cancel(struct kube_auth *auth, struct kube_auth_wait *wait);
/* The server answered 401: true if there may be a better credential now. */
bool kube_auth_refused(struct kube_auth *auth);

#endif /* CLUSTER_AUTH_H */
