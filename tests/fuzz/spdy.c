/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: cluster */
/*
 * Frames of a port-forward over SPDY: however they are cut into reads, the same comes out. The
 * input's first byte is the length of the reads.
 */
#include <assert.h>
#include <string.h>

#include "cluster/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FNV-1a over what was reported, but not over where it was cut. */
struct outcome {
	int result;
	uint32_t hash;
};

static void mix(struct outcome *outcome, uint32_t value)
{
	outcome->hash = (outcome->hash ^ value) * 16777619U;
}

static void on_reply(void *user, uint32_t stream)
{
	mix(user, 0x100);
	mix(user, stream);
}

static void on_data(void *user, uint32_t stream, const uint8_t *data, size_t len)
{
	assert(len > 0);
	for (size_t i = 0; i < len; i++) {
		mix(user, stream);
		mix(user, data[i]);
	}
}

static void on_end(void *user, uint32_t stream)
{
	mix(user, 0x200);
	mix(user, stream);
}

static void on_ping(void *user, const uint8_t frame[static SPDY_PING_BYTES])
{
	mix(user, 0x300);
	mix(user, frame[SPDY_PING_BYTES - 1]);
}

static struct outcome parse(const uint8_t *data, size_t size, size_t piece)
{
	static const struct spdy_events events = {
		.on_reply = on_reply, .on_data = on_data, .on_end = on_end, .on_ping = on_ping};
	struct outcome outcome = {.hash = 2166136261U};
	struct spdy_parser parser = {0};

	for (size_t at = 0; at < size && outcome.result == 0; at += piece)
		outcome.result =
			spdy_parse(&parser, data + at, MIN(piece, size - at), &events, &outcome);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;

	if (size < 2 || size > 65536)
		return 0;
	whole = parse(data + 1, size - 1, size - 1);
	cut = parse(data + 1, size - 1, (size_t)data[0] + 1);
	assert(memcmp(&whole, &cut, sizeof(whole)) == 0);
	return 0;
}
