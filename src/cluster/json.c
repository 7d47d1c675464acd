/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/json.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

/* A CustomResourceDefinition's schema is the deepest object there is. */
#define JSON_DEPTH 128

json_object *json_parse(const char *text, size_t len)
{
	struct json_tokener *tokener = NULL;
	json_object *value = NULL;
	size_t end = 0;

	if (!text || len == 0 || len > INT_MAX)
		return NULL;
	tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!tokener)
		return NULL;
	value = json_tokener_parse_ex(tokener, text, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(value);
		value = NULL;
	}
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	for (; value && end < len; end++) {
		if (!isspace((unsigned char)text[end])) {
			json_object_put(value);
			value = NULL;
		}
	}
	return value;
}

json_object *json_member(json_object *object, const char *key)
{
	json_object *value = NULL;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, key, &value))
		return NULL;
	return value;
}

json_object *json_path(json_object *object, const char *path)
{
	char key[64];
	size_t len = 0;

	while (object) {
		len = strcspn(path, ".");
		if (!path[len])
			return json_member(object, path);
		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = 0;
		object = json_member(object, key);
		path += len + 1;
	}
	return NULL;
}

const char *json_text(json_object *object, const char *path)
{
	json_object *value = json_path(object, path);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

const char *json_text_or(json_object *object, const char *path, const char *otherwise)
{
	const char *text = json_text(object, path);

	return text ? text : otherwise;
}

int64_t json_int(json_object *object, const char *path, int64_t otherwise)
{
	json_object *value = json_path(object, path);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : otherwise;
}

size_t json_count(json_object *object, const char *path)
{
	json_object *value = json_path(object, path);

	return json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
}

json_object *json_item(json_object *object, const char *path, size_t index)
{
	if (index >= json_count(object, path))
		return NULL;
	return json_object_array_get_idx(json_path(object, path), index);
}

void json_add_text(json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}
