/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: tunnel */
/*
 * WebSocket frames: however the bytes are cut into reads, the same comes out. The input's first
 * byte is the role, the second the length of the reads.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t payload, messages, pings, closes;
	uint32_t sum;
};

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	struct seen *seen = user;

	assert(len > 0);
	seen->payload += len;
	for (size_t i = 0; i < len; i++)
		seen->sum = seen->sum * 31 + data[i];
}

static void on_message_end(void *user)
{
	((struct seen *)user)->messages++;
}

static void on_ping(void *user, const uint8_t *data, size_t len)
{
	struct seen *seen = user;

	assert(len <= 125);
	seen->pings++;
	for (size_t i = 0; i < len; i++)
		seen->sum = seen->sum * 37 + data[i];
}

static void on_close(void *user, uint16_t code)
{
	struct seen *seen = user;

	seen->closes++;
	seen->sum += code;
}

static int parse(
	const uint8_t *data, size_t size, size_t piece, enum ws_role role, struct seen *seen)
{
	static const struct ws_events events = {on_payload, on_message_end, on_ping, on_close};
	struct ws_parser parser = {.role = role};
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += piece) {
		size_t len = MIN(piece, size - at);
		uint8_t *copy = malloc(len); /* its own, so that ASan sees every overrun */

		assert(copy);
		memcpy(copy, data + at, len);
		r = ws_parse(&parser, copy, len, &events, seen);
		free(copy);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {0}, cut = {0};
	enum ws_role role;

	if (size < 3)
		return 0;
	role = data[0] & 1 ? WS_SERVER : WS_CLIENT;
	assert(parse(data + 2, size - 2, size - 2, role, &whole) ==
		parse(data + 2, size - 2, (size_t)data[1] + 1, role, &cut));
	assert(memcmp(&whole, &cut, sizeof(whole)) == 0);
	return 0;
}
