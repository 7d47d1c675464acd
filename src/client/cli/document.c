/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/document.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "core/alloc.h"

struct writer {
	yaml_emitter_t emitter;
	int depth;
	int error; /* the first -errno */
};

int document_json(FILE *out, json_object *document)
{
	const char *text = json_object_to_json_string_ext(
		document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

	return fprintf(out, "%s\n", text) < 0 ? -EIO : 0;
}

/* The emitter takes the event, and frees it also when it fails. */
static void emit(struct writer *writer, yaml_event_t *event, int made)
{
	if (!made)
		writer->error = writer->error ? writer->error : -ENOMEM;
	else if (!yaml_emitter_emit(&writer->emitter, event))
		writer->error = writer->error ? writer->error : -EIO;
}

static void put_scalar(
	struct writer *writer, const char *text, size_t len, yaml_scalar_style_t style)
{
	yaml_event_t event;

	emit(writer, &event,
		yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
			(int)len, true, true, style));
}

/* Whether every reader takes it for a string without quotes: numbers, dates and null's "~" begin
 * with no letter. What syntax forbids (": ", " #") the emitter quotes by itself. */
static bool plainly_a_string(const char *text)
{
	static const char *const words[] = {
		"y", "n", "yes", "no", "on", "off", "true", "false", "null"};

	if (!isalpha((unsigned char)*text) && *text != '/')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return false;
	}
	return true;
}

static void put_string(struct writer *writer, const char *text, size_t len)
{
	yaml_scalar_style_t style = YAML_SINGLE_QUOTED_SCALAR_STYLE;

	if (memchr(text, '\n', len))
		style = YAML_LITERAL_SCALAR_STYLE;
	else if (plainly_a_string(text))
		style = YAML_PLAIN_SCALAR_STYLE;
	put_scalar(writer, text, len, style);
}

static void put(struct writer *writer, json_object *value);

static void put_array(struct writer *writer, json_object *array)
{
	size_t count = json_object_array_length(array);
	yaml_event_t event;

	emit(writer, &event,
		yaml_sequence_start_event_initialize(&event, NULL, NULL, true,
			count ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE));
	for (size_t i = 0; i < count && writer->error == 0; i++)
		put(writer, json_object_array_get_idx(array, i));
	if (writer->error == 0)
		emit(writer, &event, yaml_sequence_end_event_initialize(&event));
}

static void put_object(struct writer *writer, json_object *object)
{
	bool some = json_object_object_length(object) > 0;
	yaml_event_t event;

	emit(writer, &event,
		yaml_mapping_start_event_initialize(&event, NULL, NULL, true,
			some ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE));
	json_object_object_foreach(object, key, value)
	{
		if (writer->error != 0)
			return;
		put_string(writer, key, strlen(key));
		put(writer, value);
	}
	if (writer->error == 0)
		emit(writer, &event, yaml_mapping_end_event_initialize(&event));
}

static void put(struct writer *writer, json_object *value)
{
	const char *text;

	if (writer->error != 0)
		return;
	if (++writer->depth > DOCUMENT_DEPTH) {
		writer->error = -E2BIG;
		return;
	}
	switch (json_object_get_type(value)) {
	case json_type_object:
		put_object(writer, value);
		break;
	case json_type_array:
		put_array(writer, value);
		break;
	case json_type_string:
		put_string(writer, json_object_get_string(value),
			(size_t)json_object_get_string_len(value));
		break;
	default: /* null, booleans and numbers: YAML takes JSON's words for them */
		text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
		put_scalar(writer, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
		break;
	}
	writer->depth--;
}

int document_yaml(FILE *out, json_object *document)
{
	struct writer writer = {0};
	yaml_event_t event;

	if (!yaml_emitter_initialize(&writer.emitter))
		return -ENOMEM;
	yaml_emitter_set_output_file(&writer.emitter, out);
	yaml_emitter_set_unicode(&writer.emitter, true);
	yaml_emitter_set_width(&writer.emitter, -1);
	emit(&writer, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	if (writer.error == 0)
		emit(&writer, &event,
			yaml_document_start_event_initialize(&event, NULL, NULL, NULL, true));
	put(&writer, document);
	if (writer.error == 0)
		emit(&writer, &event, yaml_document_end_event_initialize(&event, true));
	if (writer.error == 0)
		emit(&writer, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&writer.emitter);
	return writer.error;
}
