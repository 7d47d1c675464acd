/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define V4_LABELS 4
#define V6_LABELS 32

struct dns_names {
	char *domain; /* lower case, no dots at the ends; "" when unknown */
	char *namespace; /* NULL: single labels are not the cluster's */
	char **namespaces; /* sorted */
	size_t namespace_count;
	struct ip_prefix *subnets;
	size_t subnet_count;
};

static char *lowered(const char *text)
{
	size_t len = strlen(text);
	char *copy;

	if (len > 0 && text[len - 1] == '.')
		len--;
	copy = xstrndup(text, len);
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_namespace(const struct dns_names *names, const char *label)
{
	return names->namespace_count > 0 &&
	       bsearch(&label, names->namespaces, names->namespace_count,
		       sizeof(*names->namespaces), compare_names) != NULL;
}

/* Whether name is suffix or ends in "." suffix. */
static bool ends_in(const char *name, const char *suffix)
{
	size_t name_len = strlen(name), suffix_len = strlen(suffix);

	if (suffix_len == 0 || name_len < suffix_len)
		return false;
	if (strcmp(name + name_len - suffix_len, suffix) != 0)
		return false;
	return name_len == suffix_len || name[name_len - suffix_len - 1] == '.';
}

static unsigned int hex_value(char digit)
{
	return digit <= '9' ? (unsigned int)(digit - '0') : (unsigned int)(digit - 'a') + 10;
}

/* "4.3.2.1" as it stands before ".in-addr.arpa". */
static bool parse_reverse_v4(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {.family = AF_INET};

	for (int i = V4_LABELS - 1; i >= 0; i--) {
		unsigned int value = 0, digits = 0;

		for (; isdigit((unsigned char)*text) && digits < 3; text++, digits++)
			value = value * 10 + (unsigned int)(*text - '0');
		if (digits == 0 || value > UINT8_MAX || *text++ != '.')
			return false;
		addr.bytes[i] = (uint8_t)value;
	}
	*ret_addr = addr;
	return strcmp(text, "in-addr.arpa") == 0;
}

/* 32 nibbles, the last one first, before "ip6.arpa". */
static bool parse_reverse_v6(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {.family = AF_INET6};

	for (int i = V6_LABELS - 1; i >= 0; i--) {
		if (!isxdigit((unsigned char)text[0]) || text[1] != '.')
			return false;
		addr.bytes[i / 2] |= (uint8_t)(hex_value(text[0]) << (i % 2 == 0 ? 4 : 0));
		text += 2;
	}
	*ret_addr = addr;
	return strcmp(text, "ip6.arpa") == 0;
}

static bool is_wpad(const struct dns_names *names, const char *name)
{
	(void)names;
	/* Its answer would decide over the proxy of every program on the laptop. */
	return strncmp(name, "wpad", 4) == 0 && (name[4] == '.' || name[4] == '\0');
}

static bool is_reverse(const struct dns_names *names, const char *name)
{
	struct ip_addr addr;

	if (!parse_reverse_v4(name, &addr) && !parse_reverse_v6(name, &addr))
		return false;
	for (size_t i = 0; i < names->subnet_count; i++) {
		if (ip_prefix_contains(&names->subnets[i], &addr))
			return true;
	}
	return false;
}

static bool is_in_domain(const struct dns_names *names, const char *name)
{
	return ends_in(name, names->domain);
}

static bool is_in_svc(const struct dns_names *names, const char *name)
{
	(void)names;
	return strchr(name, '.') && ends_in(name, "svc");
}

static bool is_single_label(const struct dns_names *names, const char *name)
{
	/* RFC 6761 6.3: localhost never leaves the machine, whatever a service is called. */
	return names->namespace && *name && !strchr(name, '.') && strcmp(name, "localhost") != 0;
}

/* "web.shop", and "_http._tcp.web.shop" for SRV. */
static bool is_in_namespace(const struct dns_names *names, const char *name)
{
	const char *dot;

	while (*name == '_' && strchr(name, '.'))
		name = strchr(name, '.') + 1;
	dot = strchr(name, '.');
	return dot && dot != name && !strchr(dot + 1, '.') && is_namespace(names, dot + 1);
}

enum suffix { AS_IS, DOMAIN, SVC_DOMAIN, NAMESPACE_SVC_DOMAIN };

/* The first that matches decides. */
static const struct rule {
	bool (*matches)(const struct dns_names *names, const char *name);
	enum suffix suffix;
	enum dns_verdict verdict;
} rules[] = {
	{is_wpad, AS_IS, DNS_REFUSE},
	{is_in_domain, AS_IS, DNS_CLUSTER},
	{is_reverse, AS_IS, DNS_CLUSTER},
	{is_in_svc, DOMAIN, DNS_CLUSTER},
	{is_single_label, NAMESPACE_SVC_DOMAIN, DNS_CLUSTER_FIRST},
	{is_in_namespace, SVC_DOMAIN, DNS_CLUSTER_FIRST},
};

/* Whether the name with its suffix is one that can exist. */
static bool expand(const struct dns_names *names, const char *name, enum suffix suffix,
	char ret_full[static DNS_NAME_BYTES])
{
	char full[DNS_NAME_BYTES];
	int len = -1;

	switch (suffix) {
	case AS_IS:
		len = snprintf(full, sizeof(full), "%s", name);
		break;
	case DOMAIN:
		len = snprintf(full, sizeof(full), "%s.%s", name, names->domain);
		break;
	case SVC_DOMAIN:
		len = snprintf(full, sizeof(full), "%s.svc.%s", name, names->domain);
		break;
	case NAMESPACE_SVC_DOMAIN:
		len = snprintf(
			full, sizeof(full), "%s.%s.svc.%s", name, names->namespace, names->domain);
		break;
	}
	if (len < 0 || (size_t)len >= sizeof(full))
		return false;
	memcpy(ret_full, full, (size_t)len + 1);
	return true;
}

enum dns_verdict dns_names_judge(
	const struct dns_names *names, const char *name, char ret_full[static DNS_NAME_BYTES])
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];

		if (!rule->matches(names, name))
			continue;
		if (rule->verdict == DNS_REFUSE)
			return DNS_REFUSE;
		if (names->domain[0] == '\0' || !expand(names, name, rule->suffix, ret_full))
			return DNS_UPSTREAM;
		return rule->verdict;
	}
	return DNS_UPSTREAM;
}

static void drop_namespaces(struct dns_names *names)
{
	for (size_t i = 0; i < names->namespace_count; i++)
		free(names->namespaces[i]);
	free(names->namespaces);
	names->namespaces = NULL;
	names->namespace_count = 0;
}

void dns_names_set_cluster(struct dns_names *names, const char *cluster_domain,
	const char *const *namespaces, size_t count)
{
	char *domain = lowered(cluster_domain ? cluster_domain : "");

	free(names->domain);
	names->domain = domain;
	drop_namespaces(names);
	if (count == 0)
		return;
	names->namespaces = xcalloc(count, sizeof(*names->namespaces));
	for (size_t i = 0; i < count; i++)
		names->namespaces[i] = lowered(namespaces[i]);
	names->namespace_count = count;
	qsort(names->namespaces, count, sizeof(*names->namespaces), compare_names);
}

void dns_names_set_subnets(struct dns_names *names, const struct ip_prefix *subnets, size_t count)
{
	free(names->subnets);
	names->subnets = NULL;
	names->subnet_count = count;
	if (count == 0)
		return;
	names->subnets = xcalloc(count, sizeof(*subnets));
	memcpy(names->subnets, subnets, count * sizeof(*subnets));
}

struct dns_names *dns_names_new(const char *cluster_domain, const char *namespace)
{
	struct dns_names *names = XNEW(struct dns_names);

	names->namespace = namespace && *namespace ? lowered(namespace) : NULL;
	dns_names_set_cluster(names, cluster_domain, NULL, 0);
	return names;
}

void dns_names_free(struct dns_names *names)
{
	if (!names)
		return;
	drop_namespaces(names);
	free(names->subnets);
	free(names->namespace);
	free(names->domain);
	free(names);
}
