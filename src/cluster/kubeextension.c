/* SPDX-License-Identifier: Apache-2.0 */
/* What a kubeconfig says to this program: the extension telepresence.io of a cluster's entry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/carrier.h"
#include "cluster/kubeentry.h"
#include "cluster/kubefile.h"
#include "core/alloc.h"
#include "net/addr.h"

#define EXTENSION       "telepresence.io"
#define LIST_MAX        256 /* of suffixes, names and mappings, each */
#define LOOKUP_MIN_MS   100
#define LOOKUP_MAX_MS   60000
#define DURATION_DIGITS 6

static const yaml_node_t *item_of(struct kubefile *file, const yaml_node_t *list, size_t i)
{
	if (!list || list->type != YAML_SEQUENCE_NODE ||
		i >= (size_t)(list->data.sequence.items.top - list->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(&file->doc, list->data.sequence.items.start[i]);
}

static const yaml_node_t *find_extension(struct kubefile *file, const yaml_node_t *cluster)
{
	const yaml_node_t *list = kubefile_get(file, cluster, "extensions"), *item;

	for (size_t i = 0; (item = item_of(file, list, i)); i++) {
		const yaml_node_t *name = kubefile_get(file, item, "name");

		if (name && name->type == YAML_SCALAR_NODE &&
			strcmp((const char *)name->data.scalar.value, EXTENSION) == 0)
			return kubefile_get(file, item, "extension");
	}
	return NULL;
}

static int read_names(struct kubefile *file, const yaml_node_t *dns, const char *key, char ***list,
	struct err *err)
{
	int r = kubefile_strings(file, dns, key, list, err);

	for (size_t i = 0; r == 0 && *list && (*list)[i]; i++) {
		const char *name = (*list)[i];

		if (i == LIST_MAX)
			r = kubefile_error(err, file, kubefile_get(file, dns, key),
				"%s: more than %d entries", key, LIST_MAX);
		else if (!dns_name_valid(name + (*name == '.')))
			r = kubefile_error(err, file, kubefile_get(file, dns, key),
				"%s: \"%.80s\" is not a DNS name", key, name);
	}
	return r;
}

static int read_mapping(struct kubefile *file, const yaml_node_t *item, char **ret_name,
	char **ret_alias, struct err *err)
{
	struct ip_addr addr;
	int r = kubefile_string(file, item, "name", ret_name, err);

	if (r == 0)
		r = kubefile_string(file, item, "aliasFor", ret_alias, err);
	if (r < 0)
		return r;
	if (!*ret_name || !*ret_alias)
		return kubefile_error(err, file, item, "a mapping needs name and aliasFor");
	if (!dns_name_valid(*ret_name))
		return kubefile_error(
			err, file, item, "mappings: \"%.80s\" is not a DNS name", *ret_name);
	if (!dns_name_valid(*ret_alias) && ip_addr_parse(*ret_alias, &addr) < 0)
		return kubefile_error(err, file, item,
			"mappings: \"%.80s\" is neither a DNS name nor an address", *ret_alias);
	return 0;
}

static int read_mappings(
	struct kubefile *file, const yaml_node_t *dns, char ***ret_mappings, struct err *err)
{
	const yaml_node_t *list = kubefile_get(file, dns, "mappings"), *item;
	char **pairs;
	int r = 0;

	if (!list || (list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0))
		return 0;
	if (list->type != YAML_SEQUENCE_NODE)
		return kubefile_error(err, file, list, "mappings must be a list");
	if (item_of(file, list, LIST_MAX))
		return kubefile_error(err, file, list, "mappings: more than %d entries", LIST_MAX);
	/* In the settings at once: whoever reads the rest frees it. */
	pairs = *ret_mappings = xcalloc(2 * LIST_MAX + 1, sizeof(*pairs));
	for (size_t i = 0; r == 0 && (item = item_of(file, list, i)); i++) {
		char *name = NULL, *alias = NULL;

		r = read_mapping(file, item, &name, &alias, err);
		if (r < 0) {
			free(name);
			free(alias);
			return r;
		}
		pairs[2 * i] = name;
		pairs[2 * i + 1] = alias;
	}
	return r;
}

/* "8s", "500ms", "1m": a whole number and a unit. */
static bool parse_duration(const char *text, uint32_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint32_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	if (digits == 0 || digits > DURATION_DIGITS)
		return false;
	value = strtoull(text, NULL, 10);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		value *= units[i].ms;
		*ret_ms = (uint32_t)MIN(value, UINT32_MAX);
		return value >= LOOKUP_MIN_MS && value <= LOOKUP_MAX_MS;
	}
	return false;
}

static int read_timeout(
	struct kubefile *file, const yaml_node_t *dns, uint32_t *ret_ms, struct err *err)
{
	auto_free char *text = NULL;
	int r = kubefile_string(file, dns, "lookup-timeout", &text, err);

	if (r < 0 || !text || parse_duration(text, ret_ms))
		return r;
	return kubefile_error(err, file, kubefile_get(file, dns, "lookup-timeout"),
		"lookup-timeout: \"%.40s\" is not a duration like 8s, from 100ms to 60s", text);
}

static int read_dns(struct kubefile *file, const yaml_node_t *dns, struct dns_settings *settings,
	struct err *err)
{
	int r;

	if (!dns || dns->type != YAML_MAPPING_NODE)
		return 0;
	r = read_names(file, dns, "include-suffixes", &settings->include_suffixes, err);
	if (r == 0)
		r = read_names(file, dns, "exclude-suffixes", &settings->exclude_suffixes, err);
	if (r == 0)
		r = read_names(file, dns, "excludes", &settings->excludes, err);
	if (r == 0)
		r = read_mappings(file, dns, &settings->mappings, err);
	if (r == 0)
		r = read_timeout(file, dns, &settings->lookup_timeout_ms, err);
	return r;
}

static int read_carrier(
	struct kubefile *file, const yaml_node_t *extension, char **ret_name, struct err *err)
{
	enum kube_carrier_kind kind;
	struct err why = ERR_INIT;
	int r = kubefile_string(file, extension, "carrier", ret_name, err);

	if (r == 0 && *ret_name && kube_carrier_parse(*ret_name, &kind, &why) < 0)
		r = kubefile_error(
			err, file, kubefile_get(file, extension, "carrier"), "%s", why.msg);
	return r;
}

int kube_config_add_extension(struct kube_config *config, struct kubefile *file,
	const yaml_node_t *cluster, struct err *err)
{
	const yaml_node_t *extension = find_extension(file, cluster);
	int r = kubefile_strings(file, extension, "also-proxy", &config->also_proxy, err);

	if (r == 0)
		r = kubefile_strings(file, extension, "never-proxy", &config->never_proxy, err);
	if (r == 0)
		r = kubefile_strings(file, extension, "allow-conflicting-subnets",
			&config->allow_conflicting, err);
	if (r == 0)
		r = read_carrier(file, extension, &config->carrier, err);
	if (r == 0)
		r = kubefile_string(file, kubefile_get(file, extension, "manager"), "namespace",
			&config->manager_namespace, err);
	if (r == 0)
		r = read_dns(file, kubefile_get(file, extension, "dns"), &config->dns, err);
	return r;
}
