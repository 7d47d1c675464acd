/* SPDX-License-Identifier: Apache-2.0 */
/* A LabelSelector object as the text that a list or watch takes. */
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/buf.h"
#include "manager/workload.h"

/* Selectors are a few labels of at most 317 bytes each. */
#define SELECTOR_MAX (16 * 1024)

static int add_labels(struct buf *text, json_object *labels)
{
	int r = 0;

	if (!json_object_is_type(labels, json_type_object))
		return 0;
	json_object_object_foreach(labels, key, value)
	{
		r = buf_printf(text, "%s%s=%s", buf_len(text) ? "," : "", key,
			json_object_get_string(value));
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_values(struct buf *text, json_object *expression, const char *word)
{
	int r = buf_printf(text, " %s (", word);

	for (size_t i = 0; r >= 0 && i < json_count(expression, "values"); i++)
		r = buf_printf(text, "%s%s", i ? "," : "",
			json_object_get_string(json_item(expression, "values", i)));
	return r < 0 ? r : buf_printf(text, ")");
}

static int add_expression(struct buf *text, json_object *expression)
{
	const char *key = json_text_or(expression, "key", "");
	const char *operator= json_text_or(expression, "operator", "");
	const char *comma = buf_len(text) ? "," : "";
	int r;

	if (strcmp(operator, "DoesNotExist") == 0)
		return buf_printf(text, "%s!%s", comma, key);
	r = buf_printf(text, "%s%s", comma, key);
	if (r >= 0 && strcmp(operator, "In") == 0)
		return add_values(text, expression, "in");
	if (r >= 0 && strcmp(operator, "NotIn") == 0)
		return add_values(text, expression, "notin");
	return r;
}

char *workload_selector(json_object *selector)
{
	struct buf text;
	char *escaped = NULL;
	int r;

	buf_init(&text, SELECTOR_MAX);
	r = add_labels(&text, json_member(selector, "matchLabels"));
	for (size_t i = 0; r >= 0 && i < json_count(selector, "matchExpressions"); i++)
		r = add_expression(&text, json_item(selector, "matchExpressions", i));
	if (r >= 0 && buf_len(&text) > 0 && buf_cstr(&text))
		escaped = kube_escape(buf_cstr(&text));
	buf_done(&text);
	return escaped;
}
