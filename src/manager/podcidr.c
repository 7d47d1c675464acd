/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/podcidr.h"

#include <errno.h>
#include <string.h>

static uint8_t group_len(uint8_t family)
{
	return family == AF_INET ? 16 : 64;
}

static uint8_t longest_len(uint8_t family)
{
	return family == AF_INET ? 24 : 112;
}

static uint8_t common_bits(const struct ip_addr *a, const struct ip_addr *b, uint8_t max)
{
	uint8_t bits = 0;

	while (bits < max) {
		uint8_t mask = (uint8_t)(0x80 >> (bits % 8));

		if ((a->bytes[bits / 8] ^ b->bytes[bits / 8]) & mask)
			break;
		bits++;
	}
	return bits;
}

static struct ip_prefix truncated(const struct ip_addr *addr, uint8_t len)
{
	struct ip_prefix prefix = {.addr = {.family = addr->family}, .len = len};

	memcpy(prefix.addr.bytes, addr->bytes, len / 8);
	if (len % 8)
		prefix.addr.bytes[len / 8] =
			(uint8_t)(addr->bytes[len / 8] & (0xff00 >> (len % 8)));
	return prefix;
}

bool podcidr_contains(const struct podcidr *cover, const struct ip_addr *addr)
{
	for (unsigned int i = 0; i < cover->count; i++) {
		if (ip_prefix_contains(&cover->prefixes[i], addr))
			return true;
	}
	return false;
}

int podcidr_add(struct podcidr *cover, const struct ip_addr *addr)
{
	uint8_t group = group_len(addr->family);

	if (podcidr_contains(cover, addr))
		return 0;
	for (unsigned int i = 0; i < cover->count; i++) {
		struct ip_prefix *prefix = &cover->prefixes[i];

		if (prefix->addr.family == addr->family &&
			common_bits(&prefix->addr, addr, group) == group) {
			*prefix = truncated(addr, common_bits(&prefix->addr, addr, prefix->len));
			return 1;
		}
	}
	if (cover->count == PODCIDR_MAX)
		return -ENOSPC;
	cover->prefixes[cover->count++] = truncated(addr, longest_len(addr->family));
	return 1;
}
