/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/watch.h - the current objects of one collection, kept current
 *
 * A paged list, then one watch that resumes from the last resourceVersion (bookmarks on) over any
 * disconnection; 410 Gone lists again. Retries back off with jitter, 0.2 to 10 s; who had no answer
 * at all tries again as soon as another request of the client has one.
 */
#ifndef CLUSTER_WATCH_H
#define CLUSTER_WATCH_H

#include "cluster/client.h"

struct kube_watch;

enum kube_event { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED };

struct kube_watch_events {
	/* After a re-list, objects that vanished meanwhile come as KUBE_DELETED (with their last
	 * state). */
	void (*on_event)(void *user, enum kube_event event, json_object *object);
	/* The first list is complete (called once). */
	void (*on_synced)(void *user);
	/* Each failure; the watch goes on retrying. 403 and 404 too: rights and CRDs may still
	 * come. */
	void (*on_error)(void *user, const struct err *err);
};

/* path: the collection, with selectors if any ("/api/v1/nodes", "...?labelSelector=..."). Copied.
 */
struct kube_watch *kube_watch_start(struct kube_client *client, const char *path,
	const struct kube_watch_events *events, void *user);
void kube_watch_stop(struct kube_watch *watch); /* frees; NULL-safe; no callback follows */

#endif /* CLUSTER_WATCH_H */
