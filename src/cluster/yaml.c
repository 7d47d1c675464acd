/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#include "cluster/manifests.h"
#include "core/err.h"

/* Deeper than any object here; an alias to an enclosing node would have no end. */
#define YAML_DEPTH 64

static json_object *plain_scalar(const char *text, size_t len)
{
	int64_t number = 0;
	bool negative = text[0] == '-';
	size_t i = negative ? 1 : 0;

	if (len == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
		return NULL;
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return json_object_new_boolean(text[0] == 't');
	if (i == len || len > 18) /* no digits, or more than an int64_t surely holds */
		return json_object_new_string_len(text, (int)len);
	for (; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return json_object_new_string_len(text, (int)len);
		number = number * 10 + (text[i] - '0');
	}
	return json_object_new_int64(negative ? -number : number);
}

static int convert(yaml_document_t *doc, int index, unsigned int depth, json_object **ret_value);

static int convert_map(
	yaml_document_t *doc, const yaml_node_t *node, unsigned int depth, json_object **ret_value)
{
	json_object *map = json_object_new_object();

	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
		json_object *value = NULL;
		int r = key && key->type == YAML_SCALAR_NODE
				? convert(doc, pair->value, depth, &value)
				: -EINVAL;

		if (r < 0) {
			json_object_put(map);
			return r;
		}
		json_object_object_add(map, (const char *)key->data.scalar.value, value);
	}
	*ret_value = map;
	return 0;
}

static int convert_list(
	yaml_document_t *doc, const yaml_node_t *node, unsigned int depth, json_object **ret_value)
{
	json_object *list = json_object_new_array();

	for (const yaml_node_item_t *item = node->data.sequence.items.start;
		item < node->data.sequence.items.top; item++) {
		json_object *value = NULL;
		int r = convert(doc, *item, depth, &value);

		if (r < 0) {
			json_object_put(list);
			return r;
		}
		json_object_array_add(list, value);
	}
	*ret_value = list;
	return 0;
}

static int convert(yaml_document_t *doc, int index, unsigned int depth, json_object **ret_value)
{
	const yaml_node_t *node = yaml_document_get_node(doc, index);
	const char *text = NULL;
	size_t len = 0;

	if (!node || depth == 0)
		return -EINVAL;
	switch (node->type) {
	case YAML_MAPPING_NODE:
		return convert_map(doc, node, depth - 1, ret_value);
	case YAML_SEQUENCE_NODE:
		return convert_list(doc, node, depth - 1, ret_value);
	case YAML_SCALAR_NODE:
		text = (const char *)node->data.scalar.value;
		len = node->data.scalar.length;
		if (len > INT_MAX)
			return -EFBIG;
		*ret_value = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
				     ? plain_scalar(text, len)
				     : json_object_new_string_len(text, (int)len);
		return 0;
	default:
		return -EINVAL;
	}
}

/* One document: 0 at the stream's end, 1 if there was one. */
static int next_document(yaml_parser_t *parser, json_object *array, struct err *err)
{
	yaml_document_t doc;
	const yaml_node_t *root = NULL;
	json_object *value = NULL;
	size_t line = 0;
	int r = 0;

	if (!yaml_parser_load(parser, &doc))
		return err_set(err, -EINVAL, ERR_CONFIG, "line %zu: not valid YAML: %s",
			parser->problem_mark.line + 1,
			parser->problem ? parser->problem : "unreadable");
	root = yaml_document_get_root_node(&doc);
	if (!root) {
		yaml_document_delete(&doc);
		return 0;
	}
	line = root->start_mark.line + 1;
	/* An empty document, as between two separators, is none. */
	if (root->type == YAML_MAPPING_NODE)
		r = convert(&doc, 1, YAML_DEPTH, &value);
	yaml_document_delete(&doc);
	if (r < 0)
		return err_set(err, r, ERR_CONFIG, "line %zu: no plain object", line);
	if (value)
		json_object_array_add(array, value);
	return 1;
}

int yaml_to_json(const void *text, size_t len, json_object **ret_array, struct err *err)
{
	yaml_parser_t parser;
	json_object *array = NULL;
	int r = 1;

	if (!yaml_parser_initialize(&parser))
		return err_set_errno(err, -ENOMEM, "YAML");
	yaml_parser_set_input_string(&parser, text, len);
	array = json_object_new_array();
	while (r > 0)
		r = next_document(&parser, array, err);
	yaml_parser_delete(&parser);
	if (r < 0) {
		json_object_put(array);
		return r;
	}
	*ret_array = array;
	return 0;
}
