/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/watch_store.h - the objects of one watch, by namespace and name
 *
 * Internal to the folder. It turns lists and raw events into what has changed: an object that is
 * known already is MODIFIED, an unchanged one is nothing. The store holds a reference of each.
 */
#ifndef CLUSTER_WATCH_STORE_H
#define CLUSTER_WATCH_STORE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "cluster/watch.h"

struct watch_item;

struct watch_store {
	struct watch_item *items; /* owns; uthash */
	unsigned int list; /* number of the current list */
};

void watch_store_done(struct watch_store *store);
/* What had the object's name before it was made (its end was not seen: a list comes after it), with
 * the caller's own reference, or NULL. */
json_object *watch_store_take_former(struct watch_store *store, json_object *object);
/* Takes the object as current. True if that is news; *ret_event says which. False also for an
 * object without a name. */
bool watch_store_put(struct watch_store *store, json_object *object, enum kube_event *ret_event);
/* Forgets the object of that name. False if it was not known. */
bool watch_store_remove(struct watch_store *store, json_object *object);
/* A new list begins: what is not put until its end has vanished. */
void watch_store_begin_list(struct watch_store *store);
/* One object that the list did not have, with the caller's own reference, or NULL. */
json_object *watch_store_take_vanished(struct watch_store *store);

#define WATCH_VERSION_BYTES 64

enum watch_line_type { WATCH_LINE_EVENT, WATCH_LINE_BOOKMARK, WATCH_LINE_GONE, WATCH_LINE_ERROR };

struct watch_line {
	enum watch_line_type type;
	enum kube_event event;
	json_object *object; /* the callee's reference */
	char version[WATCH_VERSION_BYTES]; /* resourceVersion; "" if there is none */
};

/* One line of a watch's body. 0, or -EPROTO. */
NODISCARD int watch_line_parse(const char *text, size_t len, struct watch_line *ret_line);

#endif /* CLUSTER_WATCH_STORE_H */
