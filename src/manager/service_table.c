/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/service_table.h"

#include <stdio.h>
#include <string.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/limits.h"

/* Two DNS labels, the dot, and a NUL. */
#define NAME_BYTES (63 + 1 + 63 + 1)

/* A ClusterIP's place in the table of them. */
struct owner {
	struct ip_addr addr;
	const struct entry *entry;
	UT_hash_handle hh;
};

struct entry {
	char *name;
	struct ip_addr addrs[SERVICE_IPS];
	struct owner owners[SERVICE_IPS]; /* entry NULL: the address has gone to another one */
	unsigned int count;
	bool headless;
	UT_hash_handle hh;
};

struct service_table {
	struct entry *entries; /* by name */
	struct owner *owners; /* by address, in the entries */
	uint64_t last_change;
	char changes[SERVICE_CHANGES][NAME_BYTES];
};

struct service_table *service_table_new(void)
{
	return XNEW(struct service_table);
}

static void disown(struct service_table *table, struct owner *owner)
{
	if (!owner->entry)
		return;
	/* The analyzer does not see that an owner with an entry is in the table.
	 * NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	HASH_DEL(table->owners, owner);
	owner->entry = NULL;
}

static void disown_all(struct service_table *table, struct entry *entry)
{
	for (unsigned int i = 0; i < entry->count; i++)
		disown(table, &entry->owners[i]);
}

static struct owner *find_owner(const struct service_table *table, const struct ip_addr *addr)
{
	struct owner *owner = NULL;

	HASH_FIND(hh, table->owners, addr, sizeof(*addr), owner);
	return owner;
}

/* After a list that was read anew, who has an address now may be told before who had it. */
static void own_all(struct service_table *table, struct entry *entry)
{
	for (unsigned int i = 0; i < entry->count; i++) {
		struct owner *owner = &entry->owners[i], *before;

		before = find_owner(table, &entry->addrs[i]);
		if (before)
			disown(table, before);
		owner->addr = entry->addrs[i];
		owner->entry = entry;
		HASH_ADD(hh, table->owners, addr, sizeof(owner->addr), owner);
	}
}

static void entry_free(struct service_table *table, struct entry *entry)
{
	disown_all(table, entry);
	HASH_DEL(table->entries, entry);
	free(entry->name);
	free(entry);
}

void service_table_free(struct service_table *table)
{
	struct entry *entry = NULL, *next = NULL;

	if (!table)
		return;
	HASH_ITER (hh, table->entries, entry, next)
		entry_free(table, entry);
	free(table);
}

static void note_change(struct service_table *table, const char *name)
{
	(void)snprintf(
		table->changes[table->last_change % SERVICE_CHANGES], NAME_BYTES, "%s", name);
	table->last_change++;
}

static void read_ips(json_object *object, struct entry *entry)
{
	for (size_t i = 0; i < json_count(object, "spec.clusterIPs"); i++) {
		const char *text = json_object_get_string(json_item(object, "spec.clusterIPs", i));

		if (text && strcmp(text, "None") == 0)
			entry->headless = true;
		else if (entry->count < SERVICE_IPS && text &&
			 ip_addr_parse(text, &entry->addrs[entry->count]) == 0)
			entry->count++;
	}
}

static bool same(const struct entry *a, const struct entry *b)
{
	if (a->count != b->count || a->headless != b->headless)
		return false;
	for (unsigned int i = 0; i < a->count; i++) {
		if (!ip_addr_equal(&a->addrs[i], &b->addrs[i]))
			return false;
	}
	return true;
}

/* Deleted, or one of those that are another name for something else. */
static bool is_gone(const struct entry *entry)
{
	return entry->count == 0 && !entry->headless;
}

static void put(struct service_table *table, const char *name, const struct entry *now)
{
	struct entry *entry = NULL;

	HASH_FIND_STR(table->entries, name, entry);
	if (entry ? same(entry, now) : is_gone(now))
		return;
	note_change(table, name);
	if (is_gone(now)) {
		entry_free(table, entry);
		return;
	}
	if (!entry && HASH_COUNT(table->entries) >= SERVICES_MAX)
		return;
	if (!entry) {
		entry = XNEW(struct entry);
		entry->name = xstrdup(name);
		HASH_ADD_KEYPTR(hh, table->entries, entry->name, strlen(entry->name), entry);
	}
	disown_all(table, entry);
	memcpy(entry->addrs, now->addrs, sizeof(entry->addrs));
	entry->count = now->count;
	entry->headless = now->headless;
	own_all(table, entry);
}

void service_table_event(struct service_table *table, enum kube_event event, json_object *object)
{
	const char *service = json_text(object, "metadata.name");
	const char *namespace = json_text(object, "metadata.namespace");
	json_object *meta = json_member(object, "metadata");
	struct entry now = {.count = 0};
	char name[NAME_BYTES];
	int len;

	if (!service || !namespace)
		return;
	len = snprintf(name, sizeof(name), "%s.%s", service, namespace);
	if (event != KUBE_DELETED)
		read_ips(object, &now);
	if (len > 0 && (size_t)len < sizeof(name))
		put(table, name, &now);
	json_object_object_del(object, "spec");
	json_object_object_del(object, "status");
	json_object_object_del(meta, "annotations");
	json_object_object_del(meta, "labels");
	json_object_object_del(meta, "ownerReferences");
}

size_t service_table_find(
	const struct service_table *table, const char *name, const struct ip_addr **ret_addrs)
{
	struct entry *entry = NULL;

	HASH_FIND_STR(table->entries, name, entry);
	if (!entry)
		return 0;
	*ret_addrs = entry->addrs;
	return entry->count;
}

const char *service_table_name(const struct service_table *table, const struct ip_addr *addr)
{
	const struct owner *owner = find_owner(table, addr);

	return owner ? owner->entry->name : NULL;
}

bool service_table_is_headless(const struct service_table *table, const char *name)
{
	struct entry *entry = NULL;

	HASH_FIND_STR(table->entries, name, entry);
	return entry && entry->headless;
}

json_object *service_table_headless(const struct service_table *table, const char *namespace)
{
	json_object *list = json_object_new_array();
	struct entry *entry = NULL, *next = NULL;

	HASH_ITER (hh, table->entries, entry, next) {
		const char *dot = strchr(entry->name, '.');

		if (json_object_array_length(list) == LIMIT_DNS_HEADLESS)
			break;
		if (entry->headless && dot && strcmp(dot + 1, namespace) == 0)
			json_object_array_add(list,
				json_object_new_string_len(entry->name, (int)(dot - entry->name)));
	}
	return list;
}

uint64_t service_table_last_change(const struct service_table *table)
{
	return table->last_change;
}

const char *service_table_change(const struct service_table *table, uint64_t number)
{
	if (number == 0 || number > table->last_change ||
		number + SERVICE_CHANGES <= table->last_change)
		return NULL;
	return table->changes[(number - 1) % SERVICE_CHANGES];
}
