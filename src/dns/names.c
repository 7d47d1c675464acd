/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "dns/names_priv.h"

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

bool names_list_has(const struct names_list *list, const char *name)
{
	return list->count > 0 && bsearch(&name, list->items, list->count, sizeof(*list->items),
					  compare_names) != NULL;
}

void dns_names_set_settings(struct dns_names *names, const struct dns_settings *settings)
{
	dns_settings_done(&names->settings);
	dns_settings_copy(&names->settings, settings);
}

static void drop_list(struct names_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct names_list){.items = NULL};
}

static void copy_list(struct names_list *list, const char *const *texts, size_t count)
{
	drop_list(list);
	if (count == 0)
		return;
	list->items = xcalloc(count, sizeof(*list->items));
	for (size_t i = 0; i < count; i++)
		list->items[i] = lowered(texts[i]);
	list->count = count;
}

static void sort(struct names_list *list)
{
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare_names);
}

void dns_names_set_cluster(struct dns_names *names, const char *cluster_domain,
	const char *const *namespaces, size_t count)
{
	char *domain = lowered(cluster_domain ? cluster_domain : "");

	free(names->domain);
	names->domain = domain;
	copy_list(&names->namespaces, namespaces, count);
	sort(&names->namespaces);
}

void dns_names_set_further(struct dns_names *names, const char *const *namespaces, size_t count)
{
	copy_list(&names->further, namespaces, count);
}

void dns_names_set_headless(struct dns_names *names, const char *const *services, size_t count)
{
	copy_list(&names->headless, services, count);
	sort(&names->headless);
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
	drop_list(&names->namespaces);
	drop_list(&names->further);
	drop_list(&names->headless);
	free(names->subnets);
	free(names->namespace);
	free(names->domain);
	dns_settings_done(&names->settings);
	free(names);
}
