/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: cluster */
/*
 * The API server's answer to an upgrade: however it is cut into reads, the same comes out. The
 * input's first byte is the length of the reads.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cluster/http_upgrade.h"

/* RFC 6455 1.3, so that the corpus can have an answer that fits. */
#define KEY       "dGhlIHNhbXBsZSBub25jZQ=="
#define MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	int result, status;
	size_t rest; /* bytes of the body, or behind the head of a 101 */
};

static const struct http_upgrade ways[] = {
	{"GET", "/", HTTP_UPGRADE_WEBSOCKET, "v5.channel.k8s.io"},
	{"POST", "/", HTTP_UPGRADE_SPDY, "portforward.k8s.io"}};

static struct outcome parse(
	const struct http_upgrade *way, const uint8_t *data, size_t size, size_t piece)
{
	struct outcome outcome = {0};
	struct http_upgrade_answer answer = {0};
	struct buf in;

	buf_init(&in, MAX_BYTES);
	for (size_t at = 0; at < size; at += piece) {
		if (buf_append(&in, data + at, MIN(piece, size - at)) < 0)
			break;
		/* Asked again once all is here: a refusal's body counts as far as it came. */
		outcome.result = http_upgrade_parse(&in, at + piece >= size, way, KEY, &answer);
		if (outcome.result < 0 || (outcome.result > 0 && answer.status == 101))
			break;
	}
	if (outcome.result > 0) {
		outcome.status = answer.status;
		outcome.rest = answer.status == 101 ? 0 : answer.body_len;
		assert(answer.body_len <= buf_len(&in));
		assert(answer.status >= 0 && answer.status <= 999);
	}
	buf_done(&in);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;

	if (size < 2 || size > MAX_BYTES / 2)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		whole = parse(&ways[i], data + 1, size - 1, size - 1);
		cut = parse(&ways[i], data + 1, size - 1, (size_t)data[0] + 1);
		assert(memcmp(&whole, &cut, sizeof(whole)) == 0);
	}
	return 0;
}
