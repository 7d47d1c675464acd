/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: tunnel */
/*
 * Capsules: however the bytes are cut, the same datagrams come out, and what comes out can be
 * written and read again. The first byte of the input is the length of the reads.
 */
#include <assert.h>
#include <string.h>

#include "tunnel/capsule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t count, bytes;
	size_t sum;
};

static void on_datagram(void *user, const uint8_t *payload, size_t len)
{
	struct seen *seen = user;
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];

	assert(len <= CAPSULE_PAYLOAD_MAX_BYTES);
	assert(capsule_header(header, len) <= CAPSULE_HEADER_MAX_BYTES);
	seen->count++;
	seen->bytes += len;
	for (size_t i = 0; i < len; i++)
		seen->sum = seen->sum * 31 + payload[i];
}

static int parse(const uint8_t *data, size_t size, size_t step, struct seen *ret_seen)
{
	struct capsule_parser parser;
	int r = 0;

	*ret_seen = (struct seen){.count = 0};
	capsule_parser_init(&parser);
	for (size_t pos = 0; pos < size && r == 0; pos += step)
		r = capsule_parse(
			&parser, data + pos, MIN(step, size - pos), on_datagram, ret_seen);
	capsule_parser_done(&parser);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, parts;

	if (size < 2)
		return 0;
	assert(parse(data + 1, size - 1, size, &whole) ==
		parse(data + 1, size - 1, (size_t)data[0] + 1, &parts));
	assert(memcmp(&whole, &parts, sizeof(whole)) == 0);
	return 0;
}
