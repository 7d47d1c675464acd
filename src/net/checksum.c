/* SPDX-License-Identifier: Apache-2.0 */
#include "net/checksum.h"

#include <string.h>

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint32_t word = 0;

	/* 32-bit words into 64 bits: 2^32 of them before it could overflow, a packet has 2^14. */
	for (; len >= sizeof(word); len -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum += word;
	}
	if (len > 0) {
		word = 0;
		memcpy(&word, bytes, len);
		sum += word;
	}
	return sum;
}
