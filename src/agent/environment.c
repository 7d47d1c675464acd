/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/environment.h"

#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"

/* Quotes of name and value, the colon, the comma; the braces are counted once. */
#define PUNCTUATION_BYTES 6

static bool is_of_container(const char *name)
{
	static const char *const names[] = {"HOME", "PATH", "HOSTNAME", "TERM"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* With its quotes and escapes. */
static size_t text_bytes(json_object *text)
{
	return strlen(json_object_to_json_string_ext(
		text, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static size_t name_bytes(const char *name)
{
	json_object *text = json_object_new_string(name);
	size_t bytes = text_bytes(text);

	json_object_put(text);
	return bytes;
}

json_object *environment_json(char *const *variables, size_t max, size_t *ret_left_out)
{
	json_object *object = json_object_new_object();
	size_t bytes = 2, left_out = 0;

	for (; *variables; variables++) {
		const char *equals = strchr(*variables, '=');
		auto_free char *name = NULL;
		json_object *value;
		size_t more;

		if (!equals || equals == *variables)
			continue;
		name = xstrndup(*variables, (size_t)(equals - *variables));
		if (is_of_container(name) || json_object_object_get_ex(object, name, NULL))
			continue;
		value = json_object_new_string(equals + 1);
		more = name_bytes(name) + text_bytes(value) + PUNCTUATION_BYTES;
		if (more > max - MIN(bytes, max)) {
			json_object_put(value);
			left_out++;
			continue;
		}
		bytes += more;
		json_object_object_add(object, name, value);
	}
	*ret_left_out = left_out;
	return object;
}
