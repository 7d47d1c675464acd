/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/buf.h - a byte queue that grows up to a maximum set when it is made
 *
 * Bytes are appended at the tail and consumed at the head. Views from buf_head() die with the next
 * append. A full buffer answers -ENOBUFS and takes nothing.
 */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stdint.h>

#include "core/attr.h"

struct buf {
	uint8_t *data;
	size_t head, tail, cap; /* data[head..tail) is queued */
	size_t max; /* most bytes that may be queued at once */
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_done(struct buf *buf); /* frees; the buffer may be initialised again */

static inline size_t buf_len(const struct buf *buf)
{
	return buf->tail - buf->head;
}

static inline size_t buf_room(const struct buf *buf)
{
	return buf->max - buf_len(buf);
}

static inline uint8_t *buf_head(const struct buf *buf)
{
	return buf->data + buf->head;
}

NODISCARD int buf_append(struct buf *buf, const void *data, size_t len);
NODISCARD int buf_printf(struct buf *buf, const char *fmt, ...) PRINTF(2, 3);
/* Room for len bytes at the tail, to be filled and then added with buf_commit(); NULL if over max.
 */
NODISCARD uint8_t *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len);
void buf_consume(struct buf *buf, size_t len);
/* The queued bytes with a NUL after them (not counted); NULL if that is over max. */
NODISCARD const char *buf_cstr(struct buf *buf);

#endif /* CORE_BUF_H */
