/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/changes.h - which names of the cluster changed, as the manager sees it
 *
 * GET /v1/names, for as long as the tunnel lives. A manager of an older version has none; then
 * answers are as old as they are kept.
 */
#ifndef CLIENT_USERD_CHANGES_H
#define CLIENT_USERD_CHANGES_H

#include "core/attr.h"

struct changes;
struct h2_session;

/* "NAME.NAMESPACE" of a Service; NULL: any may have changed. Borrowed. */
typedef void (*changes_fn)(void *user, const char *service);

/* NULL: the tunnel takes no more requests. It stays until changes_stop(). */
struct changes *changes_start(struct h2_session *h2, changes_fn on_change, void *user);
void changes_stop(struct changes *changes); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_CHANGES_H */
