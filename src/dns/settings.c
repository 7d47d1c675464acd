/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"

#define NAME_CHARS  253
#define LABEL_CHARS 63

static char com[] = "com", io[] = "io", net[] = "net", org[] = "org", ru[] = "ru";
char *const dns_default_excludes[] = {com, io, net, org, ru, NULL};

char *const *dns_settings_excluded_suffixes(const struct dns_settings *settings)
{
	return settings->exclude_suffixes ? settings->exclude_suffixes : dns_default_excludes;
}

uint32_t dns_settings_timeout_ms(const struct dns_settings *settings)
{
	return settings->lookup_timeout_ms ? settings->lookup_timeout_ms : LIMIT_DNS_TIMEOUT_MS;
}

static char *normal(const char *text)
{
	char *copy;
	size_t len;

	text += *text == '.';
	len = strlen(text);
	copy = xstrndup(text, len - (len > 0 && text[len - 1] == '.'));
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

static size_t list_count(char *const *list)
{
	size_t count = 0;

	while (list && list[count])
		count++;
	return count;
}

static char **copy_list(char *const *list)
{
	char **copy;

	if (!list)
		return NULL;
	copy = xcalloc(list_count(list) + 1, sizeof(*copy));
	for (size_t i = 0; list[i]; i++)
		copy[i] = normal(list[i]);
	return copy;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static bool same_list(char *const *a, char *const *b)
{
	size_t i = 0;

	if (!a || !b)
		return a == b;
	while (a[i] && b[i] && strcasecmp(a[i], b[i]) == 0)
		i++;
	return !a[i] && !b[i];
}

void dns_settings_copy(struct dns_settings *copy, const struct dns_settings *settings)
{
	*copy = (struct dns_settings){
		.include_suffixes = copy_list(settings->include_suffixes),
		.exclude_suffixes = copy_list(settings->exclude_suffixes),
		.excludes = copy_list(settings->excludes),
		.mappings = copy_list(settings->mappings),
		.lookup_timeout_ms = settings->lookup_timeout_ms,
	};
}

bool dns_settings_equal(const struct dns_settings *a, const struct dns_settings *b)
{
	return same_list(a->include_suffixes, b->include_suffixes) &&
	       same_list(a->exclude_suffixes, b->exclude_suffixes) &&
	       same_list(a->excludes, b->excludes) && same_list(a->mappings, b->mappings) &&
	       a->lookup_timeout_ms == b->lookup_timeout_ms;
}

void dns_settings_done(struct dns_settings *settings)
{
	free_list(settings->include_suffixes);
	free_list(settings->exclude_suffixes);
	free_list(settings->excludes);
	free_list(settings->mappings);
	*settings = (struct dns_settings){.lookup_timeout_ms = 0};
}

bool dns_name_valid(const char *name)
{
	size_t label = 0, len = strlen(name);

	len -= len > 0 && name[len - 1] == '.';
	if (len == 0 || len > NAME_CHARS)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool dot = name[i] == '.';

		if (dot ? label == 0 : !isalnum((unsigned char)name[i]) && !strchr("-_", name[i]))
			return false;
		label = dot ? 0 : label + 1;
		if (label > LABEL_CHARS)
			return false;
	}
	return label > 0;
}

size_t dns_suffix_match(char *const *suffixes, const char *name)
{
	size_t name_len = strlen(name), longest = 0;

	for (size_t i = 0; suffixes && suffixes[i]; i++) {
		const char *suffix = suffixes[i] + (suffixes[i][0] == '.');
		size_t len = strlen(suffix);

		if (len <= longest || len > name_len || strcmp(name + name_len - len, suffix) != 0)
			continue;
		if (len == name_len || name[name_len - len - 1] == '.')
			longest = len;
	}
	return longest;
}
