/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/names_priv.h - what names are judged by, for names.c and its rules (names_rules.c)
 */
#ifndef DNS_NAMES_PRIV_H
#define DNS_NAMES_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "dns/names.h"

/* Owned strings in lower case. */
struct names_list {
	char **items;
	size_t count;
};

struct dns_names {
	char *domain; /* lower case, no dots at the ends; "" when unknown */
	char *namespace; /* NULL: single labels are not the cluster's */
	struct names_list namespaces; /* sorted */
	struct names_list further; /* where single labels are looked up after `namespace` */
	struct names_list headless; /* Services of `namespace` and `further`; sorted */
	struct ip_prefix *subnets;
	size_t subnet_count;
	struct dns_settings settings;
};

/* Of a sorted list. */
bool names_list_has(const struct names_list *list, const char *name);

#endif /* DNS_NAMES_PRIV_H */
