/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/routing.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

#define NAME_BYTES 256

struct list {
	char *out;
	size_t used, bytes, count, names, left_out;
};

static bool has(const struct list *list, const char *name)
{
	for (size_t at = 0; at < list->used; at += strlen(list->out + at) + 1) {
		if (strcmp(list->out + at, name) == 0)
			return true;
	}
	return false;
}

static void add(struct list *list, bool search, const char *text)
{
	char name[NAME_BYTES];
	size_t len;

	text += *text == '.';
	(void)snprintf(name, sizeof(name), "%s%s", search ? "" : "~", text);
	len = strlen(name);
	if (len > 0 && name[len - 1] == '.')
		name[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		name[i] = (char)tolower((unsigned char)name[i]);
	if (!dns_name_valid(name + !search) || has(list, name))
		return;
	if (list->count == list->names || len + 1 > list->bytes - list->used) {
		list->left_out++;
		return;
	}
	memcpy(list->out + list->used, name, len + 1);
	list->used += len + 1;
	list->count++;
}

/* The reverse zone at or above the prefix: of whole octets (IPv4) or digits (IPv6). */
static void add_reverse(struct list *list, const struct ip_prefix *prefix)
{
	bool v4 = prefix->addr.family == AF_INET;
	unsigned int step = v4 ? 8 : 4;
	char name[NAME_BYTES] = "";
	size_t used = 0;

	if (prefix->len < step)
		return;
	for (unsigned int label = prefix->len / step; label-- > 0;) {
		unsigned int byte = prefix->addr.bytes[label * step / 8];

		if (v4)
			used += (size_t)snprintf(name + used, sizeof(name) - used, "%u.", byte);
		else
			used += (size_t)snprintf(name + used, sizeof(name) - used, "%x.",
				label % 2 ? byte & 0xf : byte >> 4);
	}
	(void)snprintf(name + used, sizeof(name) - used, "%s", v4 ? "in-addr.arpa" : "ip6.arpa");
	add(list, false, name);
}

static void add_search(struct list *list, const struct dns_routing *routing, const char *namespace)
{
	auto_free char *name = NULL;

	if (!namespace || !*namespace)
		return;
	name = xasprintf("%s.svc.%s", namespace, routing->cluster_domain);
	add(list, true, name);
}

/* Whether it has the name of a public domain, whose names the rules leave alone. */
static bool is_excluded(const struct dns_settings *settings, const char *label)
{
	size_t excluded = dns_suffix_match(dns_settings_excluded_suffixes(settings), label);

	return excluded > 0 && dns_suffix_match(settings->include_suffixes, label) < excluded;
}

/* Namespaces, or headless Services. */
static void add_labels(struct list *list, const struct dns_settings *settings,
	const char *const *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_excluded(settings, labels[i]))
			add(list, false, labels[i]);
	}
}

size_t dns_routing_domains(const struct dns_routing *routing, char *out, size_t bytes, size_t names,
	size_t *ret_left_out)
{
	const struct dns_settings *settings = routing->settings;
	struct list list = {.out = out, .bytes = bytes, .names = names};

	add_search(&list, routing, routing->namespace);
	for (size_t i = 0; i < routing->further_count; i++)
		add_search(&list, routing, routing->further[i]);
	add(&list, false, routing->cluster_domain);
	add(&list, false, "svc");
	for (size_t i = 0; settings->include_suffixes && settings->include_suffixes[i]; i++)
		add(&list, false, settings->include_suffixes[i]);
	for (size_t i = 0; settings->mappings && settings->mappings[i]; i += 2)
		add(&list, false, settings->mappings[i]);
	for (size_t i = 0; i < routing->subnet_count; i++)
		add_reverse(&list, &routing->subnets[i]);
	add(&list, false, "pod");
	add_labels(&list, settings, routing->headless, routing->headless_count);
	add_labels(&list, settings, routing->namespaces, routing->namespace_count);
	*ret_left_out = list.left_out;
	return list.used;
}
