/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/lines.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#define LINE_MAX_BYTES LIMIT_CONTROL_BODY_BYTES
/* Lines that wait for the peer's credit: the longest, and some short ones. */
#define OUT_MAX_BYTES (LINE_MAX_BYTES + 64 * 1024)

struct lines {
	struct h2_stream *stream; /* NULL: closed */
	const struct lines_events *events; /* NULL: over */
	void *user;
	struct buf in, out;
	bool parsing; /* the frame of take_lines() still needs this object */
	bool freed;
};

static void free_if_unused(struct lines *lines)
{
	if (!lines->freed || lines->stream || lines->parsing)
		return;
	buf_done(&lines->in);
	buf_done(&lines->out);
	free(lines);
}

static void over(struct lines *lines, const struct err *err)
{
	const struct lines_events *events = TAKE_PTR(lines->events);

	if (events)
		events->on_over(lines->user, err);
}

/* Each callback may free the object. */
static void take_lines(struct lines *lines)
{
	struct err err = ERR_INIT;
	const uint8_t *end;
	size_t len;
	int r = 0;

	lines->parsing = true;
	while (r >= 0 && lines->events && buf_len(&lines->in) > 0) {
		end = memchr(buf_head(&lines->in), '\n', buf_len(&lines->in));
		if (!end)
			break;
		len = (size_t)(end - buf_head(&lines->in));
		r = lines->events->on_line(
			lines->user, (const char *)buf_head(&lines->in), len, &err);
		buf_consume(&lines->in, len + 1);
	}
	if (r < 0)
		over(lines, &err);
	lines->parsing = false;
	free_if_unused(lines);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct lines *lines = user;
	struct err err = ERR_INIT;

	if (head->status == 200)
		return;
	(void)err_set(&err, -EPROTO, ERR_INTERNAL, "answered with status %d", head->status);
	over(lines, &err);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct lines *lines = user;
	struct err err = ERR_INIT;
	const uint8_t *newline;
	size_t head;

	h2_stream_consumed(lines->stream, len);
	if (!lines->events)
		return;
	/* A line and the beginning of the next may come at once: only the unfinished one counts. */
	newline = memchr(data, '\n', len);
	head = newline ? (size_t)(newline - data) : len;
	if (head > LINE_MAX_BYTES - MIN(buf_len(&lines->in), (size_t)LINE_MAX_BYTES) ||
		buf_append(&lines->in, data, len) < 0) {
		(void)err_set(&err, -EMSGSIZE, ERR_INTERNAL, "a line of more than %d bytes",
			LINE_MAX_BYTES);
		over(lines, &err);
		return;
	}
	if (newline)
		take_lines(lines);
}

static void on_end(void *user)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, -ECONNRESET, ERR_UNREACHABLE, "the peer ended the stream");
	over(user, &err);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct lines *lines = user;
	size_t take = MIN(len, buf_len(&lines->out));

	if (take == 0)
		return lines->events ? H2_READ_AGAIN : H2_READ_EOF;
	memcpy(out, buf_head(&lines->out), take);
	buf_consume(&lines->out, take);
	return (ssize_t)take;
}

static void on_close(void *user, uint32_t code)
{
	struct lines *lines = user;
	struct err err = ERR_INIT;

	(void)err_set(&err, -ECONNRESET, ERR_UNREACHABLE, "the stream closed, code %u", code);
	over(lines, &err);
	/* Until here the stream kept the object, which on_over may have let go of. */
	lines->stream = NULL;
	free_if_unused(lines);
}

static const struct h2_stream_events stream_events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_read = on_read,
	.on_close = on_close,
};

static struct lines *lines_new(const struct lines_events *events, void *user)
{
	struct lines *lines = XNEW(struct lines);

	lines->events = events;
	lines->user = user;
	/* An unfinished line, and what one read of the carrier brings at once. */
	buf_init(&lines->in, LINE_MAX_BYTES + LIMIT_PUMP_BYTES);
	buf_init(&lines->out, OUT_MAX_BYTES);
	return lines;
}

int lines_request(struct h2_session *session, const struct h2_head *head,
	const struct lines_events *events, void *user, struct lines **ret_lines)
{
	struct lines *lines = lines_new(events, user);
	int r = h2_request(session, head, &stream_events, lines, &lines->stream);

	if (r < 0)
		free(lines);
	else
		*ret_lines = lines;
	return r;
}

struct lines *lines_serve(struct h2_stream *stream, const struct lines_events *events, void *user)
{
	static const struct h2_header headers[] = {
		{.name = "content-type", .value = "application/x-ndjson"},
	};
	struct lines *lines = lines_new(events, user);

	lines->stream = stream;
	h2_stream_set_events(stream, &stream_events, lines);
	h2_respond(stream, 200, headers, ARRAY_SIZE(headers), true);
	return lines;
}

void lines_send(struct lines *lines, const char *text, size_t len)
{
	if (!lines->events || !lines->stream)
		return;
	/* on_over comes with the end of the stream. */
	if (len > LINE_MAX_BYTES || buf_room(&lines->out) < len + 1 ||
		buf_append(&lines->out, text, len) < 0 || buf_append(&lines->out, "\n", 1) < 0)
		h2_stream_reset(lines->stream, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		h2_stream_resume(lines->stream);
}

void lines_free(struct lines *lines)
{
	if (!lines)
		return;
	lines->freed = true;
	lines->events = NULL;
	free_if_unused(lines);
}
