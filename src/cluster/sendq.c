/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/sendq.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/alloc.h"
#include "tunnel/ws.h"

/* Four TLS records: fewer calls than one at a time, little to repeat when the socket is full. */
#define PEEK_MAX_BYTES ((size_t)64 * 1024)
#define MASK_BYTES     4

void sendq_init(struct sendq *queue, size_t cap_bytes)
{
	*queue = (struct sendq){.data = xcalloc(1, cap_bytes), .cap = cap_bytes};
}

void sendq_done(struct sendq *queue)
{
	free(queue->data);
	*queue = (struct sendq){.data = NULL};
}

/* Copies to the tail, XORed with mask (NULL: as it is); pos is the place within the payload. */
static void put(
	struct sendq *queue, const uint8_t *data, size_t len, const uint8_t *mask, size_t pos)
{
	while (len > 0) {
		size_t tail = (queue->head + queue->len) % queue->cap;
		size_t n = MIN(len, queue->cap - tail);

		if (mask)
			ws_mask(queue->data + tail, data, n, mask, pos);
		else
			memcpy(queue->data + tail, data, n);
		queue->len += n;
		data += n;
		len -= n;
		pos += n;
	}
}

int sendq_raw(
	struct sendq *queue, const void *prefix, size_t prefix_len, const void *data, size_t len)
{
	if (len + prefix_len > queue->cap - queue->len)
		return -ENOBUFS;
	put(queue, prefix, prefix_len, NULL, 0);
	put(queue, data, len, NULL, 0);
	return 0;
}

/* RFC 6455 5.3: a fresh, unpredictable key for every frame; drawn many at a time. */
static int next_mask(struct sendq *queue, uint8_t mask[static MASK_BYTES])
{
	if (queue->masks_left < MASK_BYTES) {
		ssize_t n = getrandom(queue->masks, sizeof(queue->masks), 0);

		if (n != (ssize_t)sizeof(queue->masks))
			return n < 0 ? -errno : -EIO;
		queue->masks_left = sizeof(queue->masks);
	}
	queue->masks_left -= MASK_BYTES;
	memcpy(mask, queue->masks + queue->masks_left, MASK_BYTES);
	return 0;
}

int sendq_frame(struct sendq *queue, uint8_t opcode, const void *prefix, size_t prefix_len,
	const void *data, size_t len)
{
	uint8_t header[WS_HEADER_MAX_BYTES], mask[MASK_BYTES];
	size_t header_len = 0;
	int r = 0;

	if (len + prefix_len + WS_HEADER_MAX_BYTES > queue->cap - queue->len)
		return -ENOBUFS;
	r = next_mask(queue, mask);
	if (r < 0)
		return r;
	header_len = ws_frame_header(header, opcode, prefix_len + len, mask);
	put(queue, header, header_len, NULL, 0);
	put(queue, prefix, prefix_len, mask, 0);
	put(queue, data, len, mask, prefix_len);
	return 0;
}

const uint8_t *sendq_peek(struct sendq *queue, size_t *ret_len)
{
	size_t n = queue->peeked;

	if (n == 0)
		n = MIN(MIN(queue->len, queue->cap - queue->head), PEEK_MAX_BYTES);
	queue->peeked = n;
	*ret_len = n;
	return queue->data + queue->head;
}

void sendq_consume(struct sendq *queue, size_t len)
{
	assert(len <= queue->len);
	queue->peeked = 0;
	queue->len -= len;
	/* An empty ring starts over: the same few pages stay in the cache. */
	queue->head = queue->len == 0 ? 0 : (queue->head + len) % queue->cap;
}
