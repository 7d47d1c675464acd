/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/kubefile.h - one kubeconfig file as a YAML document, read key by key
 *
 * Internal to the folder. Only what is asked for is looked at, so keys of other tools do no harm;
 * what is there with the wrong type is an error with file:line.
 */
#ifndef CLUSTER_KUBEFILE_H
#define CLUSTER_KUBEFILE_H

#include <yaml.h>

#include "cluster/kubeconfig.h"
#include "cluster/secret.h"

struct kubefile {
	char *path; /* as given; "<text>" in tests */
	char *dir; /* what relative paths in the file are relative to */
	yaml_document_t doc;
	yaml_node_t *root;
};

/* text is copied by the parser; secrets stay in doc until kubefile_free(), which wipes them. */
NODISCARD int kubefile_parse(const char *path, const void *text, size_t len,
	struct kubefile **ret_file, struct err *err);
void kubefile_free(struct kubefile *file);
DEFINE_AUTO(kubefile, kubefile_free);

/* The value of a key of a mapping; NULL when map is NULL, no mapping, or has no such key. */
yaml_node_t *kubefile_get(struct kubefile *file, const yaml_node_t *map, const char *key);
/* The entry {name: name, ...} of the list `list` at the top of the file, or NULL. */
yaml_node_t *kubefile_find(struct kubefile *file, const char *list, const char *name);
/* Names of the entries of such a list, in their order. */
void kubefile_each(struct kubefile *file, const char *list,
	void (*fn)(void *user, const char *name), void *user);
/* The text of a key: 0 and a copy, 0 and NULL when it is absent or empty, or -EINVAL. */
NODISCARD int kubefile_string(struct kubefile *file, const yaml_node_t *map, const char *key,
	char **ret_text, struct err *err);
NODISCARD int kubefile_bool(struct kubefile *file, const yaml_node_t *map, const char *key,
	bool *ret_value, struct err *err);
/* A list of strings, NULL-terminated; NULL when absent. */
NODISCARD int kubefile_strings(struct kubefile *file, const yaml_node_t *map, const char *key,
	char ***ret_list, struct err *err);
/* Sets err to "<file>:<line>: ..." and returns -EINVAL. */
int kubefile_error(struct err *err, const struct kubefile *file, const yaml_node_t *node,
	const char *fmt, ...) PRINTF(4, 5);

/* At most LIMIT_KUBECONFIG_BYTES; the text ends in NUL. len may be NULL. */
NODISCARD int read_text_file(const char *path, char **ret_text, size_t *ret_len, struct err *err);

#endif /* CLUSTER_KUBEFILE_H */
