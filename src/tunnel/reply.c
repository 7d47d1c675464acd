/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/reply.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

struct reply {
	struct h2_stream *stream;
	size_t len, pos;
	uint8_t body[];
};

static void discard(struct h2_stream *stream, size_t len)
{
	h2_stream_consumed(stream, len);
}

/* What the peer still sends is taken and dropped, so that it does not wait for credit. */
static void none_on_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	discard(user, len);
}

static void none_on_end(void *user UNUSED)
{
}

static void none_on_close(void *user UNUSED, uint32_t code UNUSED)
{
}

static const struct h2_stream_events none_events = {
	.on_data = none_on_data,
	.on_end = none_on_end,
	.on_close = none_on_close,
};

static void body_on_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	struct reply *reply = user;

	discard(reply->stream, len);
}

static ssize_t body_on_read(void *user, uint8_t *out, size_t len)
{
	struct reply *reply = user;
	size_t count = MIN(len, reply->len - reply->pos);

	if (count == 0)
		return H2_READ_EOF;
	memcpy(out, reply->body + reply->pos, count);
	reply->pos += count;
	return (ssize_t)count;
}

static void body_on_close(void *user, uint32_t code UNUSED)
{
	free(user);
}

static const struct h2_stream_events body_events = {
	.on_data = body_on_data,
	.on_end = none_on_end,
	.on_read = body_on_read,
	.on_close = body_on_close,
};

void reply_status(struct h2_stream *stream, int status)
{
	h2_stream_set_events(stream, &none_events, stream);
	h2_respond(stream, status, NULL, 0, false);
}

void reply_reason(struct h2_stream *stream, enum reason reason)
{
	struct h2_header header = {.name = REASON_HEADER, .value = reason_name(reason)};

	h2_stream_set_events(stream, &none_events, stream);
	h2_respond(stream, reason_status(reason), &header, 1, false);
}

void reply_body(struct h2_stream *stream, int status, const char *content_type, const void *body,
	size_t len)
{
	struct reply *reply = xcalloc(1, sizeof(*reply) + len);
	char length[24];
	struct h2_header headers[] = {
		{.name = "content-type", .value = content_type},
		{.name = "content-length", .value = length},
	};

	reply->stream = stream;
	reply->len = len;
	memcpy(reply->body, body, len);
	(void)snprintf(length, sizeof(length), "%zu", len);
	h2_stream_set_events(stream, &body_events, reply);
	h2_respond(stream, status, headers, ARRAY_SIZE(headers), true);
}
