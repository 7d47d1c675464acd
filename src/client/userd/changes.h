/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/changes.h - which names of the cluster changed, and which Services of the
 * connection's namespace are headless, as the manager sees it
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
	/* All there are now, without the namespace. Borrowed. */
	void (*on_headless)(void *user, const char *const *services, size_t count);
};

/* namespace: whose headless Services are told; copied. NULL: the tunnel takes no more requests. It
 * stays until changes_stop(). */
struct changes *changes_start(struct h2_session *h2, const char *namespace,
	const struct changes_events *events, void *user);
/* Says again which are headless, if that is known: there is somebody now who wants to know.
 * NULL-safe.
 */
void changes_tell(const struct changes *changes);
void changes_stop(struct changes *changes); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_CHANGES_H */
