/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/watch_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "cluster/json.h"
#include "core/alloc.h"

struct watch_item {
	char *key; /* "namespace/name" */
	json_object *object;
	unsigned int list; /* the last list or event that had it */
	UT_hash_handle hh;
};

static char *key_of(json_object *object)
{
	const char *name = json_text(object, "metadata.name");

	return name ? xasprintf("%s/%s", json_text_or(object, "metadata.namespace", ""), name)
		    : NULL;
}

static struct watch_item *find(struct watch_store *store, const char *key)
{
	struct watch_item *item = NULL;

	HASH_FIND_STR(store->items, key, item);
	return item;
}

static void item_free(struct watch_store *store, struct watch_item *item)
{
	HASH_DEL(store->items, item);
	json_object_put(item->object);
	free(item->key);
	free(item);
}

void watch_store_done(struct watch_store *store)
{
	while (store->items)
		item_free(store, store->items);
}

/* Takes it out of the store. */
static json_object *take(struct watch_store *store, struct watch_item *item)
{
	json_object *object = json_object_get(item->object);

	item_free(store, item);
	return object;
}

json_object *watch_store_take_former(struct watch_store *store, json_object *object)
{
	auto_free char *key = key_of(object);
	struct watch_item *item = key ? find(store, key) : NULL;

	if (!item || strcmp(json_text_or(item->object, "metadata.uid", ""),
			     json_text_or(object, "metadata.uid", "")) == 0)
		return NULL;
	return take(store, item);
}

static bool same(json_object *a, json_object *b)
{
	const char *left = json_text(a, "metadata.resourceVersion");
	const char *right = json_text(b, "metadata.resourceVersion");

	return left && right && strcmp(left, right) == 0;
}

bool watch_store_put(struct watch_store *store, json_object *object, enum kube_event *ret_event)
{
	char *key = key_of(object);
	struct watch_item *item = key ? find(store, key) : NULL;

	if (!key)
		return false;
	/* Half of an object's size, and nobody here asks who set a field. */
	json_object_object_del(json_member(object, "metadata"), "managedFields");
	if (item) {
		free(key);
		item->list = store->list;
		if (same(item->object, object))
			return false;
		json_object_put(item->object);
		item->object = json_object_get(object);
		*ret_event = KUBE_MODIFIED;
		return true;
	}
	item = XNEW(struct watch_item);
	item->key = key;
	item->object = json_object_get(object);
	item->list = store->list;
	HASH_ADD_KEYPTR(hh, store->items, item->key, strlen(item->key), item);
	*ret_event = KUBE_ADDED;
	return true;
}

bool watch_store_remove(struct watch_store *store, json_object *object)
{
	auto_free char *key = key_of(object);
	struct watch_item *item = key ? find(store, key) : NULL;

	if (!item)
		return false;
	item_free(store, item);
	return true;
}

void watch_store_begin_list(struct watch_store *store)
{
	store->list++;
}

json_object *watch_store_take_vanished(struct watch_store *store)
{
	struct watch_item *item = NULL, *next = NULL;

	HASH_ITER (hh, store->items, item, next) {
		if (item->list != store->list)
			return take(store, item);
	}
	return NULL;
}

static int line_type(const char *type, struct watch_line *line)
{
	static const struct {
		const char *name;
		enum watch_line_type type;
		enum kube_event event;
	} types[] = {
		{"ADDED", WATCH_LINE_EVENT, KUBE_ADDED},
		{"MODIFIED", WATCH_LINE_EVENT, KUBE_MODIFIED},
		{"DELETED", WATCH_LINE_EVENT, KUBE_DELETED},
		{"BOOKMARK", WATCH_LINE_BOOKMARK, KUBE_ADDED},
		{"ERROR", WATCH_LINE_ERROR, KUBE_ADDED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, type) == 0) {
			line->type = types[i].type;
			line->event = types[i].event;
			return 0;
		}
	}
	return -EPROTO;
}

int watch_line_parse(const char *text, size_t len, struct watch_line *ret_line)
{
	json_object *root = json_parse(text, len);
	json_object *object = json_member(root, "object");
	struct watch_line line = {.object = NULL};
	const char *version = json_text_or(object, "metadata.resourceVersion", "");
	int r = line_type(json_text_or(root, "type", ""), &line);

	if (!json_object_is_type(object, json_type_object) ||
		strlen(version) >= sizeof(line.version))
		r = -EPROTO;
	if (r < 0) {
		json_object_put(root);
		return r;
	}
	(void)snprintf(line.version, sizeof(line.version), "%s", version);
	/* 410: the version that the watch started from has been compacted away. */
	if (line.type == WATCH_LINE_ERROR && json_int(object, "code", 0) == 410)
		line.type = WATCH_LINE_GONE;
	line.object = json_object_get(object);
	json_object_put(root);
	*ret_line = line;
	return 0;
}
