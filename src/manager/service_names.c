/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/service_names.h"

#include <ctype.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "dns/service_answer.h"
#include "manager/service_table.h"

#define SERVICES_PATH "/api/v1/services"

struct follower {
	struct service_names *names;
	struct h2_stream *stream;
	uint64_t told; /* number of the last change that was */
	bool started; /* the first line was made, which says that all may have changed */
	char *namespace; /* whose headless Services are told, or NULL */
	char *line; /* being sent, or NULL */
	size_t len, pos;
	struct follower *prev, *next;
};

struct service_names {
	struct service_table *table;
	struct kube_watch *watch;
	char *domain;
	bool complained;
	bool synced; /* the table is whole */
	struct follower *followers; /* owns */
};

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct service_names *names = user;
	uint64_t before = service_table_last_change(names->table);
	struct follower *follower = NULL;

	service_table_event(names->table, event, object);
	if (service_table_last_change(names->table) == before)
		return;
	DL_FOREACH (names->followers, follower)
		h2_stream_resume(follower->stream);
}

/* Who came before hears again that all may have changed, now with the headless ones. */
static void on_synced(void *user)
{
	struct service_names *names = user;
	struct follower *follower = NULL;

	names->synced = true;
	DL_FOREACH (names->followers, follower) {
		follower->started = false;
		h2_stream_resume(follower->stream);
	}
}

/* Said once: the watch goes on asking, and CoreDNS answers meanwhile. */
static void on_error(void *user, const struct err *err)
{
	struct service_names *names = user;

	if (!names->complained)
		log_warn("Services are not watched", "error=%s", err->msg);
	names->complained = true;
}

static const struct kube_watch_events watch_events = {
	.on_event = on_event,
	.on_synced = on_synced,
	.on_error = on_error,
};

struct service_names *service_names_new(struct kube_client *client, const char *cluster_domain)
{
	struct service_names *names = XNEW(struct service_names);

	names->table = service_table_new();
	names->domain = xstrdup(cluster_domain);
	for (char *c = names->domain; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	names->watch = kube_watch_start(client, SERVICES_PATH, &watch_events, names);
	return names;
}

void service_names_free(struct service_names *names)
{
	if (!names)
		return;
	kube_watch_stop(names->watch);
	service_table_free(names->table);
	free(names->domain);
	free(names);
}

uint8_t *service_names_answer(
	const struct service_names *names, const uint8_t *msg, size_t len, size_t *ret_len)
{
	struct dns_service_question question;
	const struct ip_addr *addrs = NULL;
	const char *service;
	size_t count;

	if (!dns_service_question_parse(msg, len, names->domain, &question))
		return NULL;
	if (question.type == DNS_TYPE_PTR) {
		service = service_table_name(names->table, &question.addr);
		return service ? dns_service_pointer(
					 msg, &question, service, names->domain, ret_len)
			       : NULL;
	}
	count = service_table_find(names->table, question.name, &addrs);
	if (count == 0)
		return NULL;
	return dns_service_answer(msg, &question, addrs, count, (uint32_t)time(NULL), ret_len);
}

/* Whether the Service "NAME.NAMESPACE" is of the namespace that the follower asked for. */
static bool is_of(const struct follower *follower, const char *name)
{
	const char *dot = strchr(name, '.');

	return follower->namespace && dot && strcmp(dot + 1, follower->namespace) == 0;
}

/* name NULL: all may have changed. */
static void make_line(struct follower *follower, const char *name)
{
	const struct service_names *names = follower->names;
	json_object *line = json_object_new_object();

	json_object_object_add(line, "changed", json_object_new_string(name ? name : "*"));
	if (!name && names->synced && follower->namespace)
		json_object_object_add(line, "headless",
			service_table_headless(names->table, follower->namespace));
	else if (name && names->synced && is_of(follower, name))
		json_object_object_add(line, "headless",
			json_object_new_boolean(service_table_is_headless(names->table, name)));
	free(follower->line);
	follower->line =
		xasprintf("%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
	json_object_put(line);
	follower->len = strlen(follower->line);
	follower->pos = 0;
}

/* False: there is nothing new. Who is too far behind is told that all may have changed. */
static bool next_line(struct follower *follower)
{
	const struct service_table *table = follower->names->table;
	uint64_t last = service_table_last_change(table);
	const char *name;

	if (follower->started && follower->told == last)
		return false;
	name = follower->started ? service_table_change(table, follower->told + 1) : NULL;
	follower->started = true;
	follower->told = name ? follower->told + 1 : last;
	make_line(follower, name);
	return true;
}

static ssize_t follower_on_read(void *user, uint8_t *out, size_t len)
{
	struct follower *follower = user;
	size_t used = 0;

	while (used < len && (follower->pos < follower->len || next_line(follower))) {
		size_t n = MIN(len - used, follower->len - follower->pos);

		memcpy(out + used, follower->line + follower->pos, n);
		follower->pos += n;
		used += n;
	}
	return used > 0 ? (ssize_t)used : H2_READ_AGAIN;
}

static void follower_on_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	struct follower *follower = user;

	h2_stream_consumed(follower->stream, len);
}

static void follower_on_end(void *user UNUSED)
{
}

static void follower_on_close(void *user, uint32_t code UNUSED)
{
	struct follower *follower = user;

	DL_DELETE(follower->names->followers, follower);
	free(follower->namespace);
	free(follower->line);
	free(follower);
}

static const struct h2_stream_events follower_events = {
	.on_data = follower_on_data,
	.on_end = follower_on_end,
	.on_read = follower_on_read,
	.on_close = follower_on_close,
};

void service_names_stream(
	struct service_names *names, struct h2_stream *stream, const char *namespace)
{
	static const struct h2_header headers[] = {
		{.name = "content-type", .value = "application/x-ndjson"},
	};
	struct follower *follower = XNEW(struct follower);

	follower->names = names;
	follower->stream = stream;
	follower->namespace = namespace ? xstrdup(namespace) : NULL;
	DL_APPEND(names->followers, follower);
	h2_stream_set_events(stream, &follower_events, follower);
	h2_respond(stream, 200, headers, ARRAY_SIZE(headers), true);
}
