/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/changes.h - which names of the cluster changed, and which Services of a namespace
 * are headless, as the manager sees it
 *
 * GET /v1/names, for as long as the tunnel lives. A manager of an older version has none; then
 * answers are as old as they are kept, and no headless Service is known.
 */
#ifndef CLIENT_USERD_CHANGES_H
#define CLIENT_USERD_CHANGES_H

#include <stddef.h>

#include "core/attr.h"

struct changes;
struct h2_session;

struct changes_events {
	/* "NAME.NAMESPACE" of a Service; NULL: any may have changed. Borrowed. */
	void (*on_change)(void *user, const char *service);
	/* changes_headless() says something else now. */
	void (*on_headless)(void *user);
};

/* namespace: whose headless Services are told; copied. NULL: the tunnel takes no more requests. It
 * stays until changes_stop(). */
struct changes *changes_start(struct h2_session *h2, const char *namespace,
	const struct changes_events *events, void *user);
/* The headless Services, without the namespace, as far as there is room; borrowed until the next
 * callback. Their number, or -EAGAIN: it is not known yet. */
int changes_headless(const struct changes *changes, const char **ret_services, size_t room);
/* Of which it tells. */
const char *changes_namespace(const struct changes *changes);
void changes_stop(struct changes *changes); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_CHANGES_H */
