/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/cluster_state.h"

#include <errno.h>
#include <string.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/log.h"
#include "manager/podcidr.h"

/* Addresses and ranges that one object names: two of each family in all of them today. */
#define NAMED_MAX 8
/* Namespaces, nodes and the like of one cluster; Kubernetes itself is made for 5,000 nodes and
 * 10,000 namespaces. */
#define NAMED_OBJECTS_MAX 20000
/* More ranges than this are given as their cover: each is a route on every laptop. */
#define LISTED_MAX 64

/* What one object contributes, by its name. */
struct named {
	char *name;
	struct ip_prefix prefixes[NAMED_MAX]; /* an address is a prefix of full length */
	unsigned int count;
	UT_hash_handle hh;
};

struct cluster_state {
	char *domain;
	char *agent_image; /* NULL: not known */
	struct cluster_state_config config;
	struct named *service_cidrs, *nodes, *namespaces, *api_endpoints;
	struct podcidr pods, services;
};

void cluster_state_set_agent_image(struct cluster_state *state, const char *image)
{
	free(state->agent_image);
	state->agent_image = xstrdup(image);
}

/* A string in the array at a dotted path, or NULL. */
static const char *item_text(json_object *object, const char *path, size_t i)
{
	json_object *item = json_item(object, path, i);

	return json_object_is_type(item, json_type_string) ? json_object_get_string(item) : NULL;
}

static void named_free(struct named **table, struct named *named)
{
	HASH_DEL(*table, named);
	free(named->name);
	free(named);
}

static void table_free(struct named **table)
{
	struct named *named = *table;

	/* The entries stay linked. */
	HASH_CLEAR(hh, *table);
	while (named) {
		struct named *next = named->hh.next;

		free(named->name);
		free(named);
		named = next;
	}
}

/* The entry of an object, new and empty or emptied; NULL when the object was deleted or is one too
 * many. */
static struct named *upsert(struct named **table, enum kube_event event, json_object *object)
{
	const char *name = json_text(object, "metadata.name");
	struct named *named = NULL;

	if (!name)
		return NULL;
	HASH_FIND_STR(*table, name, named);
	if (event == KUBE_DELETED) {
		if (named)
			named_free(table, named);
		return NULL;
	}
	if (!named && HASH_COUNT(*table) >= NAMED_OBJECTS_MAX)
		return NULL;
	if (!named) {
		named = XNEW(struct named);
		named->name = xstrdup(name);
		HASH_ADD_KEYPTR(hh, *table, named->name, strlen(named->name), named);
	}
	named->count = 0;
	return named;
}

static void add_prefix(struct named *named, const char *text)
{
	if (text && named->count < NAMED_MAX &&
		ip_prefix_parse(text, &named->prefixes[named->count]) == 0)
		named->count++;
}

static void add_address(struct named *named, const char *text)
{
	struct ip_prefix *prefix = &named->prefixes[named->count];

	if (!text || named->count == NAMED_MAX || ip_addr_parse(text, &prefix->addr) < 0)
		return;
	prefix->len = (uint8_t)(ip_addr_len(&prefix->addr) * 8);
	named->count++;
}

struct cluster_state *cluster_state_new(const struct cluster_state_config *config)
{
	struct cluster_state *state = XNEW(struct cluster_state);

	state->config = *config;
	state->domain = xstrdup(config->cluster_domain);
	return state;
}

void cluster_state_free(struct cluster_state *state)
{
	if (!state)
		return;
	table_free(&state->service_cidrs);
	table_free(&state->nodes);
	table_free(&state->namespaces);
	table_free(&state->api_endpoints);
	free(state->domain);
	free(state->agent_image);
	free(state);
}

void cluster_state_service_cidr(
	struct cluster_state *state, enum kube_event event, json_object *object)
{
	struct named *named = upsert(&state->service_cidrs, event, object);

	for (size_t i = 0; named && i < json_count(object, "spec.cidrs"); i++)
		add_prefix(named, item_text(object, "spec.cidrs", i));
}

void cluster_state_node(struct cluster_state *state, enum kube_event event, json_object *object)
{
	struct named *named = upsert(&state->nodes, event, object);
	size_t count = json_count(object, "spec.podCIDRs");

	if (!named)
		return;
	for (size_t i = 0; i < count; i++)
		add_prefix(named, item_text(object, "spec.podCIDRs", i));
	if (count == 0)
		add_prefix(named, json_text(object, "spec.podCIDR"));
}

void cluster_state_namespace(
	struct cluster_state *state, enum kube_event event, json_object *object)
{
	(void)upsert(&state->namespaces, event, object);
}

void cluster_state_api_endpoints(
	struct cluster_state *state, enum kube_event event, json_object *object)
{
	struct named *named = upsert(&state->api_endpoints, event, object);

	for (size_t i = 0; named && i < json_count(object, "endpoints"); i++) {
		json_object *endpoint = json_item(object, "endpoints", i);

		for (size_t j = 0; j < json_count(endpoint, "addresses"); j++)
			add_address(named, item_text(endpoint, "addresses", j));
	}
}

/* Deleted addresses stay covered: the next pod will be near. */
static void cover(struct podcidr *cover, const char *text)
{
	struct ip_addr addr;

	if (!text || ip_addr_parse(text, &addr) < 0)
		return;
	if (podcidr_add(cover, &addr) < 0)
		log_debug("address not covered", "address=%s", text);
}

void cluster_state_pod(struct cluster_state *state, enum kube_event event, json_object *object)
{
	/* A pod of its node's network has addresses that are not the pods' network. */
	if (event == KUBE_DELETED || json_object_get_boolean(json_path(object, "spec.hostNetwork")))
		return;
	for (size_t i = 0; i < json_count(object, "status.podIPs"); i++)
		cover(&state->pods, json_text(json_item(object, "status.podIPs", i), "ip"));
}

void cluster_state_service(struct cluster_state *state, enum kube_event event, json_object *object)
{
	if (event == KUBE_DELETED)
		return;
	/* "None" of a headless Service is no address. */
	for (size_t i = 0; i < json_count(object, "spec.clusterIPs"); i++)
		cover(&state->services, item_text(object, "spec.clusterIPs", i));
}

bool cluster_state_services_known(const struct cluster_state *state)
{
	return state->service_cidrs != NULL;
}

bool cluster_state_pods_known(const struct cluster_state *state)
{
	const struct named *node = NULL;
	bool own_covered = state->config.own_pod.family == 0;

	if (!state->nodes)
		return false;
	for (node = state->nodes; node; node = node->hh.next) {
		if (node->count == 0)
			return false;
		for (unsigned int i = 0; i < node->count; i++)
			own_covered |=
				ip_prefix_contains(&node->prefixes[i], &state->config.own_pod);
	}
	return own_covered;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(json_object_get_string(*(json_object *const *)a),
		json_object_get_string(*(json_object *const *)b));
}

static void add_text(json_object *array, const char *text)
{
	(void)json_object_array_add(array, json_object_new_string(text));
}

static void add_addr(json_object *array, const struct ip_addr *addr)
{
	char text[ADDR_TEXT_BYTES];

	if (addr->family != 0)
		add_text(array, ip_addr_format(addr, text));
}

static void add_prefix_text(json_object *array, const struct ip_prefix *prefix)
{
	char text[ADDR_TEXT_BYTES];

	add_text(array, ip_prefix_format(prefix, text));
}

static bool contained(const struct named *table, const struct ip_prefix *prefix)
{
	for (const struct named *named = table; named; named = named->hh.next) {
		for (unsigned int i = 0; i < named->count; i++) {
			if (named->prefixes[i].len <= prefix->len &&
				ip_prefix_overlaps(&named->prefixes[i], prefix))
				return true;
		}
	}
	return false;
}

static struct ip_addr last_address(const struct ip_prefix *prefix)
{
	struct ip_addr addr = prefix->addr;

	for (unsigned int bit = prefix->len; bit < ip_addr_len(&addr) * 8; bit++)
		addr.bytes[bit / 8] = (uint8_t)(addr.bytes[bit / 8] | (0x80 >> (bit % 8)));
	return addr;
}

static void cover_prefix(struct podcidr *cover, const struct ip_prefix *prefix)
{
	struct ip_addr last = last_address(prefix);

	(void)podcidr_add(cover, &prefix->addr);
	(void)podcidr_add(cover, &last);
}

/* Ranges of the objects, and of the seen addresses' cover what they do not contain. */
static json_object *format_ranges(const struct named *table, const struct podcidr *seen)
{
	json_object *array = json_object_new_array();
	const struct named *named = NULL;
	struct podcidr all = *seen;
	unsigned int count = 0;

	for (named = table; named; named = named->hh.next)
		count += named->count;
	for (named = table; named; named = named->hh.next) {
		for (unsigned int i = 0; i < named->count; i++) {
			if (count > LISTED_MAX)
				cover_prefix(&all, &named->prefixes[i]);
			else
				add_prefix_text(array, &named->prefixes[i]);
		}
	}
	for (unsigned int i = 0; i < all.count; i++) {
		if (count > LISTED_MAX || !contained(table, &all.prefixes[i]))
			add_prefix_text(array, &all.prefixes[i]);
	}
	json_object_array_sort(array, compare_text);
	return array;
}

static json_object *format_names(const struct named *table)
{
	json_object *array = json_object_new_array();

	for (const struct named *named = table; named; named = named->hh.next)
		add_text(array, named->name);
	json_object_array_sort(array, compare_text);
	return array;
}

static json_object *format_api_server(const struct cluster_state *state)
{
	json_object *array = json_object_new_array();

	add_addr(array, &state->config.api_service);
	for (const struct named *named = state->api_endpoints; named; named = named->hh.next) {
		for (unsigned int i = 0; i < named->count; i++)
			add_addr(array, &named->prefixes[i].addr);
	}
	json_object_array_sort(array, compare_text);
	return array;
}

char *cluster_state_format(const struct cluster_state *state)
{
	json_object *object = json_object_new_object();
	char dns[ADDR_TEXT_BYTES] = "";
	char *text;

	if (state->config.dns_server.family != 0)
		(void)ip_addr_format(&state->config.dns_server, dns);
	json_object_object_add(
		object, "serviceSubnets", format_ranges(state->service_cidrs, &state->services));
	json_object_object_add(object, "podSubnets", format_ranges(state->nodes, &state->pods));
	json_object_object_add(object, "clusterDomain", json_object_new_string(state->domain));
	json_object_object_add(object, "dnsServer", json_object_new_string(dns));
	json_object_object_add(object, "namespaces", format_names(state->namespaces));
	json_object_object_add(object, "managerVersion", json_object_new_string(TP_VERSION));
	if (state->agent_image)
		json_add_text(object, "agentImage", state->agent_image);
	json_object_object_add(object, "apiServer", format_api_server(state));
	text = xasprintf("%s\n", json_object_to_json_string_ext(object,
					 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	return text;
}
