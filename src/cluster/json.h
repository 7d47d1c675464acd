/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/json.h - reading json-c objects whose shape nobody promised
 *
 * NULL objects and members of another type read as absent. What is returned is borrowed.
 */
#ifndef CLUSTER_JSON_H
#define CLUSTER_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

/* One JSON value and nothing after it but white space; NULL if it is none. Nesting is bounded. */
NODISCARD json_object *json_parse(const char *text, size_t len);

json_object *json_member(json_object *object, const char *key);
/* Follows a dotted path of object members: "metadata.resourceVersion". */
json_object *json_path(json_object *object, const char *path);
/* A string at a dotted path, or NULL; _or: the other text then. */
const char *json_text(json_object *object, const char *path);
const char *json_text_or(json_object *object, const char *path, const char *otherwise);
int64_t json_int(json_object *object, const char *path, int64_t otherwise);
/* Elements of an array at a dotted path, 0 when there is none. */
size_t json_count(json_object *object, const char *path);
json_object *json_item(json_object *object, const char *path, size_t index);
/* Adds a string member; the object owns it. */
void json_add_text(json_object *object, const char *key, const char *text);

#endif /* CLUSTER_JSON_H */
