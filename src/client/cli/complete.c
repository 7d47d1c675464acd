/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/complete.h"

#include <stdbool.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/daemon.h"
#include "client/cli/help.h"
#include "client/userd/proto.h"
#include "cluster/kubeconfig.h"
#include "core/alloc.h"

/* Somebody has pressed the tabulator key: they wait no longer than this. */
#define NAMES_MS 2000

/* What options take; those that are not here take anything, or files, which shells know. */
static const struct {
	const char *option, *kind, *words;
} values[] = {
	{"namespace", "namespaces", NULL},
	{"manager-namespace", "namespaces", NULL},
	{"context", "contexts", NULL},
	{"cluster", "clusters", NULL},
	{"user", "users", NULL},
	{"workload", "workloads", NULL},
	{"deployment", "workloads", NULL},
	{"output", NULL, "default json yaml"},
	{"mechanism", NULL, "tcp"},
	{"on-refuse", NULL, "app close"},
	{"env-syntax", NULL, "docker compose sh sh:export csh csh:export ps ps:export cmd json"},
	{"local-only", NULL, "true false"},
	{"only-interceptable", NULL, "true false"},
};

/* What is before the word that is typed. */
struct typed {
	struct cli *cli;
	const struct command *command; /* NULL: none yet */
	struct argp_option *options; /* of the command, or those before it */
	const struct argp_option *open; /* its value is being typed */
	const char *namespace, *kubeconfig;
	size_t operands;
	bool over; /* after "--", or after a command that there is not */
	const char *cur, *prefix; /* cur: without the prefix, which candidates get again */
};

static void offer(const struct typed *typed, const char *text)
{
	if (strncmp(text, typed->cur, strlen(typed->cur)) == 0)
		cli_print(typed->cli, "%s%s\n", typed->prefix, text);
}

static void offer_words(const struct typed *typed, const char *words)
{
	auto_free char *copy = xstrdup(words);
	char *rest = copy, *word = NULL;

	while ((word = strsep(&rest, " ")))
		offer(typed, word);
}

static void offer_commands(const struct typed *typed)
{
	for (size_t i = 0; i < command_count; i++) {
		if (!commands[i]->hidden)
			offer(typed, commands[i]->name);
	}
}

static void on_name(void *user, const char *name)
{
	offer(user, name);
}

static void offer_daemons(const struct typed *typed, const char *kind)
{
	json_object *request = daemon_request("names"), *result = NULL, *names;
	struct err ignored = ERR_INIT;

	json_put_string(request, "kind", kind);
	json_put_string(request, "namespace", typed->namespace);
	if (daemon_call(typed->cli, request, NAMES_MS, &result, &ignored) < 0)
		return;
	names = json_get(result, "names", json_type_array);
	for (size_t i = 0; names && i < json_object_array_length(names); i++)
		offer(typed, json_object_get_string(json_object_array_get_idx(names, i)));
	json_object_put(result);
}

static void offer_names(struct typed *typed, const char *kind)
{
	static const char *const of_kubeconfig[] = {"contexts", "clusters", "users"};
	const struct kube_overrides overrides = {.kubeconfig = typed->kubeconfig};

	if (strcmp(kind, "commands") == 0) {
		offer_commands(typed);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(of_kubeconfig); i++) {
		if (strcmp(kind, of_kubeconfig[i]) == 0) {
			kube_config_names(&overrides, kind, on_name, typed);
			return;
		}
	}
	offer_daemons(typed, kind);
}

static void offer_values(struct typed *typed)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		if (strcmp(typed->open->name, values[i].option) != 0)
			continue;
		if (values[i].kind)
			offer_names(typed, values[i].kind);
		else
			offer_words(typed, values[i].words);
	}
}

static void offer_options(const struct typed *typed)
{
	for (const struct argp_option *option = typed->options; option->name; option++) {
		auto_free char *text = xasprintf("--%s", option->name);

		if (!(option->flags & OPTION_HIDDEN))
			offer(typed, text);
	}
}

static void offer_operands(struct typed *typed)
{
	const struct command *command = typed->command;

	if (typed->operands > 0 && !command->many_operands)
		return;
	if (command->words && typed->operands == 0)
		offer_words(typed, command->words);
	else if (command->completes)
		offer_names(typed, command->completes);
}

/* len: of the name in "--name" or "--name=value"; of "-n" and "-nvalue" the letter counts. */
static const struct argp_option *find_option(const struct typed *typed, const char *word)
{
	size_t len = strcspn(word, "=");

	for (const struct argp_option *option = typed->options; option->name; option++) {
		bool is_long = strncmp(word, "--", 2) == 0;

		if (is_long ? len == strlen(option->name) + 2 &&
					strncmp(word + 2, option->name, len - 2) == 0
			    : option->key == word[1])
			return option;
	}
	return NULL;
}

static void take_value(struct typed *typed, const struct argp_option *option, const char *value)
{
	if (strcmp(option->name, "namespace") == 0)
		typed->namespace = value;
	else if (strcmp(option->name, "kubeconfig") == 0)
		typed->kubeconfig = value;
}

static void take_option(struct typed *typed, const char *word)
{
	const struct argp_option *option = find_option(typed, word);
	const char *equals = strchr(word, '=');

	if (!option || !option->arg)
		return;
	if (equals && word[1] == '-')
		take_value(typed, option, equals + 1);
	else if (word[1] != '-' && word[2])
		take_value(typed, option, word + 2);
	else if (!(option->flags & OPTION_ARG_OPTIONAL))
		typed->open = option;
}

static void take_command(struct typed *typed, const char *word)
{
	typed->command = command_find(word);
	if (!typed->command) {
		typed->over = true;
		return;
	}
	free(typed->options);
	typed->options = help_options(typed->command);
}

/* A word before the last one. Bash makes three words of "--option=value". */
static void take_word(struct typed *typed, const char *word, const char *before)
{
	if (strcmp(word, "=") == 0) {
		const struct argp_option *option = before ? find_option(typed, before) : NULL;

		if (option && option->arg)
			typed->open = option;
	} else if (typed->open) {
		take_value(typed, typed->open, word);
		typed->open = NULL;
	} else if (strcmp(word, "--") == 0) {
		typed->over = true;
	} else if (word[0] == '-' && word[1]) {
		take_option(typed, word);
	} else if (!typed->command) {
		take_command(typed, word);
	} else {
		typed->operands++;
	}
}

/* "--option=val" in one word, as other shells have it: the value is what is typed. */
static void split_last(struct typed *typed, char *prefix)
{
	char *equals = strchr(prefix, '=');
	const struct argp_option *option = NULL;

	if (typed->open || strncmp(prefix, "--", 2) != 0 || !equals)
		return;
	option = find_option(typed, prefix);
	if (!option)
		return;
	typed->open = option;
	typed->cur += equals + 1 - prefix;
	equals[1] = '\0';
	typed->prefix = prefix;
}

static void offer_all(struct typed *typed)
{
	if (typed->over)
		return;
	if (typed->open)
		offer_values(typed);
	else if (typed->cur[0] == '-')
		offer_options(typed);
	else if (!typed->command)
		offer_commands(typed);
	else
		offer_operands(typed);
}

void complete_words(struct cli *cli, char *const *words, size_t count)
{
	auto_free char *last = count > 0 ? xstrdup(words[count - 1]) : xstrdup("");
	struct typed typed = {
		.cli = cli, .prefix = "", .options = help_options(command_find("help"))};

	for (size_t i = 0; i + 1 < count && !typed.over; i++)
		take_word(&typed, words[i], i > 0 ? words[i - 1] : NULL);
	typed.cur = count > 0 ? words[count - 1] : "";
	if (strcmp(typed.cur, "=") == 0 && count > 1) {
		take_word(&typed, "=", words[count - 2]);
		typed.cur = "";
	}
	split_last(&typed, last);
	offer_all(&typed);
	free(typed.options);
}
