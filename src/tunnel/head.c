/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "tunnel/session_priv.h"

int head_add(struct h2_stream *stream, const uint8_t *name, size_t name_len, const uint8_t *value,
	size_t value_len)
{
	static const uint8_t nul = 0;

	if (stream->head_done)
		return 0;
	if (stream->head_count == HEAD_MAX_COUNT ||
		name_len + value_len + 2 > buf_room(&stream->head))
		return -ENOBUFS;
	stream->head_count++;
	if (buf_append(&stream->head, name, name_len) < 0 ||
		buf_append(&stream->head, &nul, 1) < 0 ||
		buf_append(&stream->head, value, value_len) < 0 ||
		buf_append(&stream->head, &nul, 1) < 0)
		return -ENOBUFS;
	return 0;
}

/* Puts a pseudo header where it belongs. */
static void take_pseudo(struct h2_head *head, const char *name, const char *value)
{
	if (strcmp(name, ":method") == 0)
		head->method = value;
	else if (strcmp(name, ":path") == 0)
		head->path = value;
	else if (strcmp(name, ":authority") == 0)
		head->authority = value;
	else if (strcmp(name, ":protocol") == 0)
		head->protocol = value;
	else if (strcmp(name, ":status") == 0)
		/* nghttp2 let only three digits through. */
		head->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
}

static void head_read(
	const struct h2_stream *stream, struct h2_header *fields, struct h2_head *head)
{
	const char *at = (const char *)buf_head(&stream->head);
	const char *name, *value;

	for (size_t i = 0; i < stream->head_count; i++) {
		name = at;
		value = name + strlen(name) + 1;
		at = value + strlen(value) + 1;
		if (name[0] == ':')
			take_pseudo(head, name, value);
		else
			fields[head->header_count++] = (struct h2_header){name, value};
	}
	head->headers = fields;
}

void head_deliver(struct h2_stream *stream)
{
	struct h2_session *session = stream->session;
	struct h2_header fields[HEAD_MAX_COUNT];
	struct h2_head head = {0};
	struct buf bytes;

	if (stream->head_done)
		return;
	head_read(stream, fields, &head);
	/* Informational responses (RFC 9110 15.2) are not the final head. */
	stream->head_done = session->role == H2_SERVER || head.status >= 200;
	/* The strings live until the callback returned, whatever it does to the stream. */
	bytes = stream->head;
	buf_init(&stream->head, HEAD_MAX_BYTES);
	stream->head_count = 0;
	if (session->role == H2_SERVER)
		session->events.on_stream(session->user, stream, &head);
	else if (stream->head_done && stream->events.on_head)
		stream->events.on_head(stream->user, &head);
	buf_done(&bytes);
}

const char *h2_head_get(const struct h2_head *head, const char *name)
{
	for (size_t i = 0; i < head->header_count; i++)
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	return NULL;
}
