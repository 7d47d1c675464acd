/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/changes.h"

#include <errno.h>
#include <string.h>

#include "client/userd/proto.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "core/log.h"
#include "dns/settings.h"
#include "tunnel/h2.h"

/* All headless Services of a namespace, with quotes and commas, and what stands around them. */
#define LINE_BYTES (LIMIT_DNS_HEADLESS * (63 + 3) + 512)
#define EVERYTHING "*"
#define HEADLESS   "headless"

struct changes {
	struct h2_stream *stream; /* NULL: it has ended */
	char *namespace;
	const struct changes_events *events;
	void *user;
	struct buf line;
	json_object *headless; /* their names as keys; NULL: not told yet */
};

/* A label, which is all that a Service's name may be. */
static void add_headless(struct changes *changes, const char *name)
{
	if (name && *name && !strchr(name, '.') && dns_name_valid(name) &&
		json_object_object_length(changes->headless) < LIMIT_DNS_HEADLESS)
		json_object_object_add(changes->headless, name, NULL);
}

static void take_all(struct changes *changes, json_object *list)
{
	json_object_put(changes->headless);
	changes->headless = json_object_new_object();
	for (size_t i = 0; i < json_object_array_length(list); i++)
		add_headless(changes, json_object_get_string(json_object_array_get_idx(list, i)));
	changes->events->on_headless(changes->user);
}

/* "NAME.NAMESPACE" is one now, or is none. */
static void take_one(struct changes *changes, const char *service, bool headless)
{
	auto_free char *name = xstrndup(service, strcspn(service, "."));

	if (!changes->headless || service[strlen(name)] != '.' ||
		strcmp(service + strlen(name) + 1, changes->namespace) != 0 ||
		json_object_object_get_ex(changes->headless, name, NULL) == headless)
		return;
	if (headless)
		add_headless(changes, name);
	else
		json_object_object_del(changes->headless, name);
	changes->events->on_headless(changes->user);
}

static void take_change(struct changes *changes, json_object *object)
{
	const char *name = json_get_string(object, "changed");
	json_object *list = json_get(object, HEADLESS, json_type_array);
	json_object *one = json_get(object, HEADLESS, json_type_boolean);

	if (name && strcmp(name, EVERYTHING) == 0) {
		changes->events->on_change(changes->user, NULL);
		if (list)
			take_all(changes, list);
	} else if (name && dns_name_valid(name)) {
		changes->events->on_change(changes->user, name);
		if (one)
			take_one(changes, name, json_object_get_boolean(one));
	}
}

static void take_line(struct changes *changes, const char *text, size_t len)
{
	json_tokener *tokener = json_tokener_new_ex(3);
	json_object *object = tokener ? json_tokener_parse_ex(tokener, text, (int)len) : NULL;

	take_change(changes, object);
	json_object_put(object);
	if (tokener)
		json_tokener_free(tokener);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct changes *changes = user;

	h2_stream_consumed(changes->stream, len);
	while (len > 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		if (buf_append(&changes->line, data, n) < 0) {
			h2_stream_reset(changes->stream, UPLINK_CANCEL);
			return;
		}
		data += n + (end != NULL);
		len -= n + (end != NULL);
		if (!end)
			return;
		take_line(changes, (const char *)buf_head(&changes->line), buf_len(&changes->line));
		buf_consume(&changes->line, buf_len(&changes->line));
	}
}

static void on_end(void *user UNUSED)
{
}

static void on_head(void *user, const struct h2_head *head)
{
	struct changes *changes = user;

	if (head->status == 200)
		return;
	log_info("changes of names are not told", "status=%d", head->status);
	h2_stream_reset(changes->stream, UPLINK_CANCEL);
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct changes *changes = user;

	changes->stream = NULL;
}

struct changes *changes_start(struct h2_session *h2, const char *namespace,
	const struct changes_events *events, void *user)
{
	static const struct h2_stream_events stream_events = {
		.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_close = on_close};
	const struct h2_header header = {.name = "telepresence-namespace", .value = namespace};
	const struct h2_head head = {.method = "GET",
		.path = "/v1/names",
		.authority = "traffic-manager",
		.headers = &header,
		.header_count = 1};
	struct changes *changes = XNEW(struct changes);

	changes->namespace = xstrdup(namespace);
	changes->events = events;
	changes->user = user;
	buf_init(&changes->line, LINE_BYTES);
	if (h2_request(h2, &head, &stream_events, changes, &changes->stream) == 0)
		return changes;
	free(changes->namespace);
	free(changes);
	return NULL;
}

int changes_headless(const struct changes *changes, const char **ret_services, size_t room)
{
	size_t count = 0;

	if (!changes->headless)
		return -EAGAIN;
	json_object_object_foreach(changes->headless, name, value)
	{
		(void)value;
		if (count < room)
			ret_services[count++] = name;
	}
	return (int)count;
}

const char *changes_namespace(const struct changes *changes)
{
	return changes->namespace;
}

void changes_stop(struct changes *changes)
{
	static const struct h2_stream_events none;

	if (!changes)
		return;
	if (changes->stream) {
		h2_stream_set_events(changes->stream, &none, NULL);
		h2_stream_reset(changes->stream, UPLINK_CANCEL);
	}
	buf_done(&changes->line);
	json_object_put(changes->headless);
	free(changes->namespace);
	free(changes);
}
