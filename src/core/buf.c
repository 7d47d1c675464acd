/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"

#define BUF_FIRST_BYTES 256

void buf_init(struct buf *buf, size_t max_bytes)
{
	*buf = (struct buf){.max = max_bytes};
}

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){.max = buf->max};
}

/* Moves the queued bytes to the front, or grows, so that len more fit behind the tail. */
static void make_room(struct buf *buf, size_t len)
{
	size_t used = buf_len(buf);
	size_t cap = buf->cap ? buf->cap : BUF_FIRST_BYTES;

	/* Moving more than half of it would cost a copy of the whole for every few bytes. */
	if (buf->head > 0 && (used == 0 || used + len <= buf->cap / 2)) {
		memmove(buf->data, buf->data + buf->head, used);
		buf->head = 0;
		buf->tail = used;
	}
	if (buf->tail + len <= buf->cap)
		return;
	while (cap < buf->tail + len)
		cap *= 2;
	buf->data = xrealloc(buf->data, cap);
	buf->cap = cap;
}

uint8_t *buf_reserve(struct buf *buf, size_t len)
{
	if (len > buf_room(buf))
		return NULL;
	if (buf->tail + len > buf->cap)
		make_room(buf, len);
	return buf->data + buf->tail;
}

void buf_commit(struct buf *buf, size_t len)
{
	assert(buf->tail + len <= buf->cap);
	buf->tail += len;
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
	uint8_t *at;

	/* An empty buffer has no place yet that could be pointed at. */
	if (len == 0)
		return 0;
	at = buf_reserve(buf, len);
	if (!at)
		return -ENOBUFS;
	memcpy(at, data, len);
	buf_commit(buf, len);
	return 0;
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	char *at;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	at = (char *)buf_reserve(buf, (size_t)len + 1);
	if (!at)
		return -ENOBUFS;
	va_start(args, fmt);
	(void)vsnprintf(at, (size_t)len + 1, fmt, args);
	va_end(args);
	buf_commit(buf, (size_t)len);
	return 0;
}

void buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf_len(buf));
	buf->head += len;
	if (buf->head == buf->tail)
		buf->head = buf->tail = 0;
}

const char *buf_cstr(struct buf *buf)
{
	uint8_t *at = buf_reserve(buf, 1);

	if (!at)
		return NULL;
	*at = 0;
	return (const char *)buf_head(buf);
}
