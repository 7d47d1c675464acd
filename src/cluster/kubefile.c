/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

int read_text_file(const char *path, char **ret_text, size_t *ret_len, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return err_set_errno(err, -errno, "cannot read %s", path);
	text = xcalloc(1, LIMIT_KUBECONFIG_BYTES + 1);
	while (len < LIMIT_KUBECONFIG_BYTES) {
		n = read(fd, text + len, LIMIT_KUBECONFIG_BYTES - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0 || len == LIMIT_KUBECONFIG_BYTES) {
		int r = n < 0 ? -errno : -EFBIG;

		explicit_bzero(text, len);
		free(text);
		return err_set_errno(err, r, "cannot read %s", path);
	}
	*ret_text = text;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int kubefile_error(
	struct err *err, const struct kubefile *file, const yaml_node_t *node, const char *fmt, ...)
{
	char msg[ERR_MSG_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	return err_set(err, -EINVAL, ERR_CONFIG, "%s:%zu: %s", file->path,
		node ? node->start_mark.line + 1 : 1, msg);
}

static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static int load_document(struct kubefile *file, const void *text, size_t len, struct err *err)
{
	yaml_parser_t parser;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return err_set_errno(err, -ENOMEM, "cannot read %s", file->path);
	yaml_parser_set_input_string(&parser, text, len);
	if (!yaml_parser_load(&parser, &file->doc))
		r = err_set(err, -EINVAL, ERR_CONFIG, "%s:%zu: not valid YAML: %s", file->path,
			parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "unreadable");
	yaml_parser_delete(&parser);
	return r;
}

int kubefile_parse(
	const char *path, const void *text, size_t len, struct kubefile **ret_file, struct err *err)
{
	AUTO(kubefile) file = XNEW(struct kubefile);
	int r = 0;

	file->path = xstrdup(path);
	file->dir = dir_of(path);
	r = load_document(file, text, len, err);
	if (r < 0)
		return r;
	/* An empty file is an empty kubeconfig, as for kubectl. */
	file->root = yaml_document_get_root_node(&file->doc);
	if (file->root && file->root->type != YAML_MAPPING_NODE &&
		!(file->root->type == YAML_SCALAR_NODE && file->root->data.scalar.length == 0))
		return kubefile_error(err, file, file->root, "not a kubeconfig: no mapping");
	*ret_file = TAKE_PTR(file);
	return 0;
}

void kubefile_free(struct kubefile *file)
{
	yaml_node_t *node = NULL;

	if (!file)
		return;
	for (node = file->doc.nodes.start; node && node < file->doc.nodes.top; node++) {
		if (node->type == YAML_SCALAR_NODE)
			explicit_bzero(node->data.scalar.value, node->data.scalar.length);
	}
	yaml_document_delete(&file->doc);
	free(file->path);
	free(file->dir);
	free(file);
}

yaml_node_t *kubefile_get(struct kubefile *file, const yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
		pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = yaml_document_get_node(&file->doc, pair->key);

		if (name && name->type == YAML_SCALAR_NODE &&
			strcmp((const char *)name->data.scalar.value, key) == 0)
			return yaml_document_get_node(&file->doc, pair->value);
	}
	return NULL;
}

yaml_node_t *kubefile_find(struct kubefile *file, const char *list, const char *name)
{
	const yaml_node_t *seq = kubefile_get(file, file->root, list);

	if (!seq || seq->type != YAML_SEQUENCE_NODE)
		return NULL;
	for (const yaml_node_item_t *item = seq->data.sequence.items.start;
		item < seq->data.sequence.items.top; item++) {
		yaml_node_t *entry = yaml_document_get_node(&file->doc, *item);
		const yaml_node_t *entry_name = kubefile_get(file, entry, "name");

		if (entry_name && entry_name->type == YAML_SCALAR_NODE &&
			strcmp((const char *)entry_name->data.scalar.value, name) == 0)
			return entry;
	}
	return NULL;
}

void kubefile_each(struct kubefile *file, const char *list,
	void (*fn)(void *user, const char *name), void *user)
{
	const yaml_node_t *seq = kubefile_get(file, file->root, list);

	if (!seq || seq->type != YAML_SEQUENCE_NODE)
		return;
	for (const yaml_node_item_t *item = seq->data.sequence.items.start;
		item < seq->data.sequence.items.top; item++) {
		yaml_node_t *entry = yaml_document_get_node(&file->doc, *item);
		const yaml_node_t *name = kubefile_get(file, entry, "name");

		if (name && name->type == YAML_SCALAR_NODE)
			fn(user, (const char *)name->data.scalar.value);
	}
}

/* "~" and "null" mean absent unless they are quoted. */
static bool is_null(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

int kubefile_string(struct kubefile *file, const yaml_node_t *map, const char *key, char **ret_text,
	struct err *err)
{
	const yaml_node_t *node = kubefile_get(file, map, key);

	if (node && node->type != YAML_SCALAR_NODE)
		return kubefile_error(err, file, node, "%s must be a string", key);
	if (node && strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
		return kubefile_error(err, file, node, "%s contains a NUL byte", key);
	*ret_text = node && node->data.scalar.length > 0 && !is_null(node)
			    ? xstrdup((const char *)node->data.scalar.value)
			    : NULL;
	return 0;
}

int kubefile_bool(struct kubefile *file, const yaml_node_t *map, const char *key, bool *ret_value,
	struct err *err)
{
	auto_free char *text = NULL;
	int r = kubefile_string(file, map, key, &text, err);

	if (r < 0)
		return r;
	if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return kubefile_error(
			err, file, kubefile_get(file, map, key), "%s must be true or false", key);
	*ret_value = text && strcmp(text, "true") == 0;
	return 0;
}

int kubefile_strings(struct kubefile *file, const yaml_node_t *map, const char *key,
	char ***ret_list, struct err *err)
{
	const yaml_node_t *node = kubefile_get(file, map, key);
	char **list = NULL;
	size_t count = 0;

	if (!node || (node->type == YAML_SCALAR_NODE && is_null(node))) {
		*ret_list = NULL;
		return 0;
	}
	if (node->type != YAML_SEQUENCE_NODE)
		return kubefile_error(err, file, node, "%s must be a list", key);
	count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	list = xcalloc(count + 1, sizeof(*list));
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item =
			yaml_document_get_node(&file->doc, node->data.sequence.items.start[i]);

		if (!item || item->type != YAML_SCALAR_NODE) {
			strings_free(list);
			return kubefile_error(err, file, node, "%s must hold strings", key);
		}
		list[i] = xstrdup((const char *)item->data.scalar.value);
	}
	*ret_list = list;
	return 0;
}
