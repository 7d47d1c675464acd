/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/agent_control.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#define LINE_MAX_BYTES LIMIT_CONTROL_BODY_BYTES
/* Lines that wait for an agent's credit: the longest, and some short ones. */
#define OUT_MAX_BYTES (LINE_MAX_BYTES + 64 * 1024)

struct agent_control {
	struct h2_stream *stream; /* NULL: closed */
	const struct agent_control_events *events; /* NULL: over */
	void *user;
	struct buf in, out;
	bool parsing; /* the frame of take_lines() still needs this object */
	bool freed;
};

static void free_if_unused(struct agent_control *control)
{
	if (!control->freed || control->stream || control->parsing)
		return;
	buf_done(&control->in);
	buf_done(&control->out);
	free(control);
}

static void over(struct agent_control *control, const struct err *err)
{
	const struct agent_control_events *events = TAKE_PTR(control->events);

	if (events)
		events->on_over(control->user, err);
}

static int take_line(struct agent_control *control, const char *text, size_t len, struct err *err)
{
	json_object *line = json_parse(text, len);
	const char *type = json_text(line, "type");
	int r;

	if (!type)
		r = err_set(err, -EPROTO, ERR_INTERNAL, "a line that is no message");
	else
		r = control->events->on_line(control->user, type, line, err);
	json_object_put(line);
	return r;
}

/* Each callback may free the object, or the peer with it. */
static void take_lines(struct agent_control *control)
{
	struct err err = ERR_INIT;
	const uint8_t *end;
	size_t len;
	int r = 0;

	control->parsing = true;
	while (r >= 0 && control->events && buf_len(&control->in) > 0) {
		end = memchr(buf_head(&control->in), '\n', buf_len(&control->in));
		if (!end)
			break;
		len = (size_t)(end - buf_head(&control->in));
		r = take_line(control, (const char *)buf_head(&control->in), len, &err);
		buf_consume(&control->in, len + 1);
	}
	if (r < 0)
		over(control, &err);
	control->parsing = false;
	free_if_unused(control);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct agent_control *control = user;
	struct err err = ERR_INIT;
	const uint8_t *newline;
	size_t head;

	h2_stream_consumed(control->stream, len);
	if (!control->events)
		return;
	/* A line and the beginning of the next may come at once: only the unfinished one counts. */
	newline = memchr(data, '\n', len);
	head = newline ? (size_t)(newline - data) : len;
	if (head > LINE_MAX_BYTES - MIN(buf_len(&control->in), (size_t)LINE_MAX_BYTES) ||
		buf_append(&control->in, data, len) < 0) {
		(void)err_set(&err, -EMSGSIZE, ERR_INTERNAL, "a line of more than %d bytes",
			LINE_MAX_BYTES);
		over(control, &err);
		return;
	}
	if (newline)
		take_lines(control);
}

static void on_end(void *user)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, -ECONNRESET, ERR_UNREACHABLE, "the agent ended its control stream");
	over(user, &err);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct agent_control *control = user;
	size_t take = MIN(len, buf_len(&control->out));

	if (take == 0)
		return control->events ? H2_READ_AGAIN : H2_READ_EOF;
	memcpy(out, buf_head(&control->out), take);
	buf_consume(&control->out, take);
	return (ssize_t)take;
}

static void on_close(void *user, uint32_t code)
{
	struct agent_control *control = user;
	struct err err = ERR_INIT;

	(void)err_set(
		&err, -ECONNRESET, ERR_UNREACHABLE, "the control stream closed, code %u", code);
	over(control, &err);
	/* Until here the stream kept the object, which on_over may have let go of. */
	control->stream = NULL;
	free_if_unused(control);
}

static const struct h2_stream_events stream_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_read = on_read,
	.on_close = on_close,
};

struct agent_control *agent_control_new(
	struct h2_stream *stream, const struct agent_control_events *events, void *user)
{
	static const struct h2_header headers[] = {
		{.name = "content-type", .value = "application/x-ndjson"},
	};
	struct agent_control *control = XNEW(struct agent_control);

	control->stream = stream;
	control->events = events;
	control->user = user;
	/* An unfinished line, and what one read of the carrier brings at once. */
	buf_init(&control->in, LINE_MAX_BYTES + LIMIT_PUMP_BYTES);
	buf_init(&control->out, OUT_MAX_BYTES);
	h2_stream_set_events(stream, &stream_events, control);
	h2_respond(stream, 200, headers, ARRAY_SIZE(headers), true);
	return control;
}

void agent_control_send(struct agent_control *control, json_object *line)
{
	const char *text = json_object_to_json_string_ext(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t len = strlen(text);

	if (control->events && control->stream) {
		/* on_over comes with the end of the stream, not to a caller in the middle of its
		 * work. */
		if (len > LINE_MAX_BYTES || buf_room(&control->out) < len + 1 ||
			buf_append(&control->out, text, len) < 0 ||
			buf_append(&control->out, "\n", 1) < 0)
			h2_stream_reset(control->stream, NGHTTP2_ENHANCE_YOUR_CALM);
		else
			h2_stream_resume(control->stream);
	}
	json_object_put(line);
}

void agent_control_free(struct agent_control *control)
{
	if (!control)
		return;
	control->freed = true;
	control->events = NULL;
	free_if_unused(control);
}
