/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/arpa.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define V4_LABELS 4
#define V6_LABELS 32

static unsigned int hex_value(char digit)
{
	return digit <= '9' ? (unsigned int)(digit - '0') : (unsigned int)(digit - 'a') + 10;
}

/* "4.3.2.1" as it stands before ".in-addr.arpa". */
static bool parse_reverse_v4(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {.family = AF_INET};

	for (int i = V4_LABELS - 1; i >= 0; i--) {
		unsigned int value = 0, digits = 0;

		for (; isdigit((unsigned char)*text) && digits < 3; text++, digits++)
			value = value * 10 + (unsigned int)(*text - '0');
		if (digits == 0 || value > UINT8_MAX || *text++ != '.')
			return false;
		addr.bytes[i] = (uint8_t)value;
	}
	*ret_addr = addr;
	return strcmp(text, "in-addr.arpa") == 0;
}

/* 32 nibbles, the last one first, before "ip6.arpa". */
static bool parse_reverse_v6(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {.family = AF_INET6};

	for (int i = V6_LABELS - 1; i >= 0; i--) {
		if (!isxdigit((unsigned char)text[0]) || text[1] != '.')
			return false;
		addr.bytes[i / 2] |= (uint8_t)(hex_value(text[0]) << (i % 2 == 0 ? 4 : 0));
		text += 2;
	}
	*ret_addr = addr;
	return strcmp(text, "ip6.arpa") == 0;
}

bool dns_arpa_parse(const char *name, struct ip_addr *ret_addr)
{
	return parse_reverse_v4(name, ret_addr) || parse_reverse_v6(name, ret_addr);
}
