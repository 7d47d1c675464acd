/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/suggest.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/command.h"
#include "core/alloc.h"
#include "core/err.h"

/* Longer words are not looked at. */
#define WORD_BYTES 32
/* A slip or two; more is another word. */
#define MOST_SLIPS 2
#define LIST_BYTES 160

/* The word that is most like the one that was typed, so far. */
struct likeness {
	const char *best;
	size_t slips;
};

static size_t least(size_t a, size_t b, size_t c)
{
	return MIN(MIN(a, b), c);
}

/* Letters that are too many, missing or others, and neighbours that have changed places (optimal
 * string alignment). */
static size_t slips_between(const char *a, const char *b)
{
	size_t rows[3][WORD_BYTES + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_BYTES || b_len > WORD_BYTES)
		return WORD_BYTES;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = least(
				last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_len];
}

/* One slip in a short word, two in a long one; or all that was typed is how the other one begins.
 */
static void compare(struct likeness *likeness, const char *typed, const char *word)
{
	size_t allowed = strlen(typed) < 4 ? 1 : MOST_SLIPS;
	size_t slips = slips_between(typed, word);

	if (strlen(typed) > 2 && strncmp(typed, word, strlen(typed)) == 0)
		slips = MIN(slips, allowed);
	if (slips > allowed || (likeness->best && slips >= likeness->slips))
		return;
	likeness->best = word;
	likeness->slips = slips;
}

int suggest_command(const char *name, struct err *err)
{
	struct likeness likeness = {0};

	for (size_t i = 0; i < command_count; i++) {
		if (!commands[i]->hidden)
			compare(&likeness, name, commands[i]->name);
	}
	return err_set(err, -EINVAL, ERR_USAGE, "unknown command \"%s\"%s%s%s", name,
		likeness.best ? "; did you mean \"" : "", likeness.best ? likeness.best : "",
		likeness.best ? "\"?" : "");
}

static const struct argp_option *find_long(const struct argp_option *options, const char *name)
{
	for (; options->name; options++) {
		if (strcmp(options->name, name) == 0)
			return options;
	}
	return NULL;
}

/* Those that a name is the begin of, for a person to choose; how many there are. */
static size_t list_beginning(
	const struct argp_option *options, const char *name, char list[static LIST_BYTES])
{
	size_t count = 0, used = 0;

	list[0] = '\0';
	for (; *name && options->name; options++) {
		if (strncmp(options->name, name, strlen(name)) != 0 ||
			options->flags & OPTION_HIDDEN)
			continue;
		if (used < LIST_BYTES)
			used += (size_t)snprintf(list + used, LIST_BYTES - used, "%s--%s",
				count ? ", " : "", options->name);
		count++;
	}
	return count;
}

static int refuse_long(const struct argp_option *options, const char *word, struct err *err)
{
	auto_free char *name = xstrndup(word + 2, strcspn(word + 2, "="));
	bool has_value = word[2 + strlen(name)] == '=';
	const struct argp_option *known = find_long(options, name);
	struct likeness likeness = {0};
	char list[LIST_BYTES];

	if (known)
		return err_set(err, -EINVAL, ERR_USAGE, "--%s %s", name,
			has_value && !known->arg ? "takes no value" : "needs a value");
	if (list_beginning(options, name, list) > 1)
		return err_set(err, -EINVAL, ERR_USAGE, "--%s may mean %s", name, list);
	for (; options->name; options++) {
		if (!(options->flags & OPTION_HIDDEN))
			compare(&likeness, name, options->name);
	}
	return err_set(err, -EINVAL, ERR_USAGE, "unknown option --%s%s%s%s", name,
		likeness.best ? "; did you mean --" : "", likeness.best ? likeness.best : "",
		likeness.best ? "?" : "");
}

int suggest_option(const struct argp_option *options, const char *word, struct err *err)
{
	if (strncmp(word, "--", 2) == 0)
		return refuse_long(options, word, err);
	for (; word[0] && word[1] && !word[2] && options->name; options++) {
		if (options->key == word[1])
			return err_set(err, -EINVAL, ERR_USAGE, "-%c needs a value", word[1]);
	}
	return err_set(
		err, -EINVAL, ERR_USAGE, "unknown option, or option without its value: %s", word);
}
