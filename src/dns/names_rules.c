/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of docs/dns.md, in their order, and what each makes of a name.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "dns/arpa.h"
#include "dns/names_priv.h"

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

static bool is_wpad(const struct dns_names *names, const char *name)
{
	(void)names;
	/* Its answer would decide over the proxy of every program on the laptop. */
	return strncmp(name, "wpad", 4) == 0 && (name[4] == '.' || name[4] == '\0');
}

static bool is_reverse(const struct dns_names *names, const char *name)
{
	struct ip_addr addr;

	if (!dns_arpa_parse(name, &addr))
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

/* The name behind "_http._tcp." of SRV. */
static const char *skip_services(const char *name)
{
	while (*name == '_' && strchr(name, '.'))
		name = strchr(name, '.') + 1;
	return name;
}

static unsigned int dots_in(const char *name)
{
	unsigned int dots = 0;

	for (; *name; name++)
		dots += *name == '.';
	return dots;
}

static bool is_single_label(const struct dns_names *names, const char *name)
{
	const char *label = skip_services(name);
	/* As Kubernetes names ports: _http._tcp.web. */
	bool is_port = dots_in(name) - dots_in(label) == 2;

	/* RFC 6761 6.3: localhost never leaves the machine, whatever a service is called. */
	return names->namespace && *label && *label != '_' && (label == name || is_port) &&
	       !strchr(label, '.') && strcmp(label, "localhost") != 0;
}

/*
 * "web.shop", and "web-0.web.shop" of a StatefulSet. Longer names are not looked at: none of the
 * cluster has more labels, and a namespace may be called as a public domain.
 */
static bool is_in_namespace(const struct dns_names *names, const char *name)
{
	const char *last;
	unsigned int dots;

	name = skip_services(name);
	dots = dots_in(name);
	last = strrchr(name, '.');
	return (dots == 1 || dots == 2) && *name != '.' && !strstr(name, "..") &&
	       names_list_has(&names->namespaces, last + 1);
}

/* "db-0.db": a pod of a headless Service in a namespace that is searched, as its own pods say it.
 */
static bool is_of_headless(const struct dns_names *names, const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && dot != name && *name != '_' && names->namespace &&
	       names_list_has(&names->headless, dot + 1);
}

/* "10-244-0-7.shop.pod". */
static bool is_pod(const struct dns_names *names, const char *name)
{
	const char *dot = strchr(name, '.'), *last = strrchr(name, '.');
	auto_free char *label = NULL;

	if (!dot || dot == name || dots_in(name) != 2 || strcmp(last, ".pod") != 0)
		return false;
	label = xstrndup(dot + 1, (size_t)(last - dot) - 1);
	return names_list_has(&names->namespaces, label);
}

static bool is_excluded(const struct dns_names *names, const char *name)
{
	for (char *const *exclude = names->settings.excludes; exclude && *exclude; exclude++) {
		if (strcmp(*exclude, name) == 0)
			return true;
	}
	return false;
}

static bool has_excluded_suffix(const struct dns_names *names, const char *name)
{
	size_t excluded = dns_suffix_match(dns_settings_excluded_suffixes(&names->settings), name);

	return excluded > 0 && dns_suffix_match(names->settings.include_suffixes, name) < excluded;
}

static bool has_included_suffix(const struct dns_names *names, const char *name)
{
	return dns_suffix_match(names->settings.include_suffixes, name) > 0;
}

/* What the name stands for, or NULL. */
static const char *mapping_of(const struct dns_names *names, const char *name)
{
	char *const *pair = names->settings.mappings;

	for (; pair && pair[0] && pair[1]; pair += 2) {
		if (strcmp(pair[0], name) == 0)
			return pair[1];
	}
	return NULL;
}

static bool is_mapped(const struct dns_names *names, const char *name)
{
	return mapping_of(names, name) != NULL;
}

static bool is_any(const struct dns_names *names, const char *name)
{
	(void)names;
	(void)name;
	return true;
}

enum suffix { AS_IS, DOMAIN, SVC_DOMAIN, NAMESPACE_SVC_DOMAIN };

static const struct rule {
	const char *name;
	bool (*matches)(const struct dns_names *names, const char *name);
	enum suffix suffix;
	enum dns_verdict verdict;
} rules[] = {
	[DNS_RULE_WPAD] = {"wpad", is_wpad, AS_IS, DNS_REFUSE},
	[DNS_RULE_EXCLUDES] = {"excludes", is_excluded, AS_IS, DNS_UPSTREAM},
	[DNS_RULE_MAPPING] = {"mappings", is_mapped, AS_IS, DNS_FIXED},
	[DNS_RULE_SEARCH] = {"search", is_single_label, NAMESPACE_SVC_DOMAIN, DNS_CLUSTER_FIRST},
	[DNS_RULE_EXCLUDE_SUFFIX] = {"exclude-suffixes", has_excluded_suffix, AS_IS, DNS_UPSTREAM},
	[DNS_RULE_HEADLESS] = {"headless", is_of_headless, NAMESPACE_SVC_DOMAIN, DNS_CLUSTER_FIRST},
	[DNS_RULE_NAMESPACE] = {"namespace", is_in_namespace, SVC_DOMAIN, DNS_CLUSTER_FIRST},
	[DNS_RULE_POD] = {"pod", is_pod, DOMAIN, DNS_CLUSTER},
	[DNS_RULE_SVC] = {"svc", is_in_svc, DOMAIN, DNS_CLUSTER},
	[DNS_RULE_DOMAIN] = {"cluster-domain", is_in_domain, AS_IS, DNS_CLUSTER},
	[DNS_RULE_REVERSE] = {"reverse", is_reverse, AS_IS, DNS_CLUSTER},
	[DNS_RULE_INCLUDE_SUFFIX] = {"include-suffixes", has_included_suffix, AS_IS,
		DNS_CLUSTER_FIRST},
	[DNS_RULE_OTHER] = {"other", is_any, AS_IS, DNS_UPSTREAM},
};
static_assert(ARRAY_SIZE(rules) == DNS_RULE_COUNT, "a row for each rule");

const char *dns_rule_name(enum dns_rule rule)
{
	return rules[rule].name;
}

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

static enum dns_rule find_rule(const struct dns_names *names, const char *name, bool mappings)
{
	for (enum dns_rule rule = 0; rule < DNS_RULE_OTHER; rule++) {
		if ((mappings || rule != DNS_RULE_MAPPING) && rules[rule].matches(names, name))
			return rule;
	}
	return DNS_RULE_OTHER;
}

static void apply_rule(const struct dns_names *names, const char *name, enum dns_rule rule,
	struct dns_judgement *judgement)
{
	enum suffix suffix = rules[rule].suffix;

	judgement->verdict = rules[rule].verdict;
	if (judgement->verdict != DNS_CLUSTER && judgement->verdict != DNS_CLUSTER_FIRST)
		return;
	if (names->domain[0] == '\0' || !expand(names, name, suffix, judgement->full))
		judgement->verdict = DNS_UPSTREAM;
	else
		judgement->searched = suffix == NAMESPACE_SVC_DOMAIN ? strlen(name) : 0;
}

/* What a name stands for is judged as if it had been asked, but is not mapped again. */
static void judge_alias(
	const struct dns_names *names, const char *alias, struct dns_judgement *judgement)
{
	if (ip_addr_parse(alias, &judgement->address) == 0) {
		judgement->verdict = DNS_FIXED;
		return;
	}
	judgement->mapped = true;
	(void)snprintf(judgement->alias, sizeof(judgement->alias), "%s", alias);
	apply_rule(names, alias, find_rule(names, alias, false), judgement);
}

enum dns_verdict dns_names_judge(
	const struct dns_names *names, const char *name, struct dns_judgement *ret_judgement)
{
	struct dns_judgement judgement = {.rule = find_rule(names, name, true)};

	if (judgement.rule == DNS_RULE_MAPPING)
		judge_alias(names, mapping_of(names, name), &judgement);
	else
		apply_rule(names, name, judgement.rule, &judgement);
	*ret_judgement = judgement;
	return judgement.verdict;
}

/* A pod looks a name up in its own namespace, and then as one with a namespace. */
bool dns_names_further(const struct dns_names *names, const char *label, size_t index,
	char ret_full[static DNS_NAME_BYTES])
{
	auto_free char *name = NULL;

	if (is_in_namespace(names, label) && index-- == 0)
		return expand(names, label, SVC_DOMAIN, ret_full);
	if (index >= names->further.count)
		return false;
	name = xasprintf("%s.%s", label, names->further.items[index]);
	return expand(names, name, SVC_DOMAIN, ret_full);
}
