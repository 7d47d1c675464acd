/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/names_watch.h - what the manager tells about names, for the connection's namespace
 * and those of intercepts
 *
 * For as long as a tunnel lives: a stream of changes (changes.h) for each namespace. Headless
 * Services are told when all namespaces have theirs, so that none is missing for a moment when the
 * tunnel is replaced.
 */
#ifndef CLIENT_USERD_NAMES_WATCH_H
#define CLIENT_USERD_NAMES_WATCH_H

#include <stddef.h>

#include "core/attr.h"

struct h2_session;
struct names_watch;

struct names_events {
	/* "NAME.NAMESPACE" of a Service; NULL: any may have changed. Borrowed. */
	void (*on_change)(void *user, const char *service);
	/* All there are now, each once, without the namespace. Borrowed. */
	void (*on_headless)(void *user, const char *const *services, size_t count);
};

/* namespace: the connection's; copied. NULL: the tunnel takes no more requests. It stays until
 * names_watch_stop(). */
struct names_watch *names_watch_start(struct h2_session *h2, const char *namespace,
	const struct names_events *events, void *user);
/* Further namespaces, in place of those before; INTERCEPTS_MAX are followed. Copied. */
void names_watch_further(struct names_watch *watch, const char *const *namespaces, size_t count);
/* Says again which are headless, if that is known: there is somebody now who wants to know.
 * NULL-safe. */
void names_watch_tell(struct names_watch *watch);
void names_watch_stop(struct names_watch *watch); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_NAMES_WATCH_H */
