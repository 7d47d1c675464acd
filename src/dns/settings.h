/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/settings.h - what a user says about names: suffixes, single names, and names for other names
 *
 * Read from the kubeconfig (docs/dns.md). Lists end with NULL and are owned; a settings struct that
 * is all zero holds the defaults.
 */
#ifndef DNS_SETTINGS_H
#define DNS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

struct dns_settings {
	char **include_suffixes; /* asked of the cluster first; NULL: none */
	char **exclude_suffixes; /* not the cluster's; NULL: dns_default_excludes */
	char **excludes; /* whole names; NULL: none */
	char **mappings; /* name, what it stands for, name, ...; NULL: none */
	uint32_t lookup_timeout_ms; /* of a question to the cluster; 0: LIMIT_DNS_TIMEOUT_MS */
};

/* Public domains that may also be the name of a namespace. Ends with NULL. */
extern char *const dns_default_excludes[];

/* The list that applies. Borrowed; never NULL. */
char *const *dns_settings_excluded_suffixes(const struct dns_settings *settings);
uint32_t dns_settings_timeout_ms(const struct dns_settings *settings);
/* A deep copy; names and suffixes in lower case, without dots at their ends. */
void dns_settings_copy(struct dns_settings *copy, const struct dns_settings *settings);
bool dns_settings_equal(const struct dns_settings *a, const struct dns_settings *b);
void dns_settings_done(struct dns_settings *settings);

/* Letters, digits, '-' and '_' in labels of 1 to 63, 253 in all; one final dot is let pass. */
bool dns_name_valid(const char *name);
/* Length of the longest of the suffixes that name is or ends in, by whole labels; 0: none. Names
 * and suffixes as dns_settings_copy() leaves them, suffixes with or without their first dot. */
size_t dns_suffix_match(char *const *suffixes, const char *name);

#endif /* DNS_SETTINGS_H */
