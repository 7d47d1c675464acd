/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/identity_store.h - the manager's key in its Secret: read, or made and written once
 *
 * The Secret traffic-manager-identity is installed empty. Whoever finds no key in it makes one and
 * writes it with the resourceVersion it has read: of two replicas one is refused and reads again. A
 * key that is there and cannot be read is never replaced. Tried again until it works.
 */
#ifndef MANAGER_IDENTITY_STORE_H
#define MANAGER_IDENTITY_STORE_H

#include <uv.h>

#define IDENTITY_SECRET     "traffic-manager-identity"
#define IDENTITY_SECRET_KEY "key"

struct identity;
struct identity_store;
struct kube_client;

/* on_done: once, never from within; the identity is the callee's. */
struct identity_store *identity_store_load(uv_loop_t *loop, struct kube_client *client,
	const char *namespace, void (*on_done)(void *user, struct identity *identity), void *user);
/* Ends it, also after on_done. NULL-safe. Deferred. */
void identity_store_free(struct identity_store *store);

#endif /* MANAGER_IDENTITY_STORE_H */
