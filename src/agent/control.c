/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"

#include <errno.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "tunnel/lines.h"

struct control {
	struct lines *lines;
	const struct control_events *events;
	void *user;
};

static json_object *message_new(const char *type)
{
	json_object *line = json_object_new_object();

	json_add_text(line, "type", type);
	return line;
}

static void add_int(json_object *line, const char *key, int64_t value)
{
	json_object_object_add(line, key, json_object_new_int64(value));
}

static void send_message(struct control *control, json_object *line)
{
	size_t len = 0;
	const char *text = json_object_to_json_string_length(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	lines_send(control->lines, text, len);
	json_object_put(line);
}

static int on_config(struct control *control, json_object *line)
{
	struct control_config config;
	struct err err = ERR_INIT;
	int r = control_parse_config(line, &config, &err);

	if (r < 0)
		control_send_state(control, json_int(line, "generation", -1), r, &err);
	else
		control->events->on_config(control->user, &config);
	return 0;
}

static int on_expect(struct control *control, json_object *line)
{
	struct control_expect expect;

	if (control_parse_expect(line, &expect) < 0)
		return -EPROTO;
	control->events->on_expect(control->user, &expect);
	return 0;
}

static int on_env(struct control *control, json_object *line)
{
	control->events->on_env(control->user, json_int(line, "id", -1));
	return 0;
}

static int on_reach(struct control *control, json_object *line UNUSED)
{
	control->events->on_reach(control->user);
	return 0;
}

static int on_exit_message(struct control *control, json_object *line)
{
	control->events->on_exit(control->user, json_text_or(line, "reason", ""));
	return 0;
}

static const struct {
	const char *type;
	int (*take)(struct control *control, json_object *line);
} messages[] = {
	{"config", on_config},
	{"expect", on_expect},
	{"env", on_env},
	{"reach", on_reach},
	{"exit", on_exit_message},
};

/* A callback may free the control object: nothing of it is used after one. */
static int take_message(struct control *control, json_object *line)
{
	const char *type = json_text(line, "type");

	for (size_t i = 0; type && i < ARRAY_SIZE(messages); i++) {
		if (strcmp(type, messages[i].type) == 0)
			return messages[i].take(control, line);
	}
	return type ? 0 : -EPROTO;
}

static int on_line(void *user, const char *text, size_t len, struct err *err)
{
	json_object *line = json_parse(text, len);
	int r = take_message(user, line);

	json_object_put(line);
	return r < 0 ? err_set(err, r, ERR_INTERNAL, "the traffic-manager sent no message") : 0;
}

static void on_over(void *user, const struct err *err)
{
	struct control *control = user;

	control->events->on_over(control->user, err);
}

int control_new(struct h2_session *h2, const char *name, const char *container,
	const struct control_events *events, void *user, struct control **ret_control)
{
	static const struct lines_events lines_events = {.on_line = on_line, .on_over = on_over};
	static const struct h2_header headers[] = {
		{.name = "content-type", .value = "application/x-ndjson"},
	};
	const struct h2_head head = {
		.method = "POST",
		.path = "/v1/agent",
		.authority = "traffic-manager",
		.headers = headers,
		.header_count = ARRAY_SIZE(headers),
	};
	struct control *control = XNEW(struct control);
	json_object *hello;
	int r;

	control->events = events;
	control->user = user;
	r = lines_request(h2, &head, &lines_events, control, &control->lines);
	if (r < 0) {
		free(control);
		return r;
	}
	hello = message_new("hello");
	json_add_text(hello, "version", TP_VERSION);
	json_add_text(hello, "name", name);
	json_add_text(hello, "container", container);
	send_message(control, hello);
	*ret_control = control;
	return 0;
}

void control_send_state(struct control *control, int64_t generation, int r, const struct err *err)
{
	json_object *line = message_new("state");

	add_int(line, "generation", generation);
	json_object_object_add(line, "ok", json_object_new_boolean(r >= 0));
	json_add_text(line, "message", r < 0 ? err->msg : "");
	send_message(control, line);
}

static void send_about(struct control *control, const char *type, uint32_t id)
{
	json_object *line = message_new(type);

	add_int(line, "id", id);
	send_message(control, line);
}

void control_send_expecting(struct control *control, uint32_t id)
{
	send_about(control, "expecting", id);
}

void control_send_captured(struct control *control, uint32_t id)
{
	send_about(control, "captured", id);
}

void control_send_env(struct control *control, int64_t id, json_object *env)
{
	json_object *line = message_new("env");

	add_int(line, "id", id);
	json_object_object_add(line, "env", env);
	send_message(control, line);
}

void control_send_count(
	struct control *control, const char *intercept, const struct engine_counts *counts)
{
	json_object *line = message_new("count"), *fallbacks = json_object_new_object();

	json_add_text(line, "intercept", intercept);
	add_int(line, "connections", (int64_t)counts->connections);
	for (unsigned int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		if (counts->fallbacks[i] > 0)
			add_int(fallbacks, reason_name((enum reason)i),
				(int64_t)counts->fallbacks[i]);
	}
	json_object_object_add(line, "fallbacks", fallbacks);
	send_message(control, line);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	lines_free(control->lines);
	free(control);
}
