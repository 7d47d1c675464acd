/* SPDX-License-Identifier: Apache-2.0 */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct ip_addr ip_addr_from_bytes(uint8_t family, const void *bytes)
{
	struct ip_addr addr = {.family = family};

	memcpy(addr.bytes, bytes, ip_addr_len(&addr));
	return addr;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int ip_addr_parse(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr addr = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(addr.family, text, addr.bytes) != 1)
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

const char *ip_addr_format(const struct ip_addr *addr, char out[static ADDR_TEXT_BYTES])
{
	if ((addr->family != AF_INET && addr->family != AF_INET6) ||
		!inet_ntop(addr->family, addr->bytes, out, ADDR_TEXT_BYTES))
		(void)snprintf(out, ADDR_TEXT_BYTES, "-");
	return out;
}

/* Whether bits len.. of the address are all zero. */
static bool host_bits_clear(const struct ip_addr *addr, unsigned int len)
{
	for (unsigned int bit = len; bit < 8 * ip_addr_len(addr); bit++) {
		if (addr->bytes[bit / 8] & (0x80U >> (bit % 8)))
			return false;
	}
	return true;
}

bool ip_prefix_valid(const struct ip_prefix *prefix)
{
	if (prefix->addr.family != AF_INET && prefix->addr.family != AF_INET6)
		return false;
	return prefix->len <= 8 * ip_addr_len(&prefix->addr) &&
	       host_bits_clear(&prefix->addr, prefix->len);
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix)
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct ip_prefix prefix = {.len = 0};
	unsigned int len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	if (ip_addr_parse(addr, &prefix.addr) < 0)
		return -EINVAL;
	if (slash[1] == '\0' || strlen(slash + 1) > 3 || (slash[1] == '0' && slash[2] != '\0'))
		return -EINVAL;
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		len = len * 10 + (unsigned int)(*p - '0');
	}
	if (len > 8 * ip_addr_len(&prefix.addr))
		return -EINVAL;
	prefix.len = (uint8_t)len;
	if (!ip_prefix_valid(&prefix))
		return -EINVAL;
	*ret_prefix = prefix;
	return 0;
}

const char *ip_prefix_format(const struct ip_prefix *prefix, char out[static ADDR_TEXT_BYTES])
{
	char addr[ADDR_TEXT_BYTES];

	(void)snprintf(out, ADDR_TEXT_BYTES, "%.*s/%u", INET6_ADDRSTRLEN,
		ip_addr_format(&prefix->addr, addr), prefix->len);
	return out;
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr)
{
	unsigned int whole = prefix->len / 8, rest = prefix->len % 8;

	if (prefix->addr.family != addr->family)
		return false;
	if (memcmp(prefix->addr.bytes, addr->bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((prefix->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len <= b->len ? ip_prefix_contains(a, &b->addr) : ip_prefix_contains(b, &a->addr);
}

const char *ip_endpoint_format(const struct ip_endpoint *ep, char out[static ADDR_TEXT_BYTES])
{
	char addr[ADDR_TEXT_BYTES];

	(void)snprintf(out, ADDR_TEXT_BYTES, ep->addr.family == AF_INET6 ? "[%.*s]:%u" : "%.*s:%u",
		INET6_ADDRSTRLEN, ip_addr_format(&ep->addr, addr), ep->port);
	return out;
}

socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *ep, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(ep->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(ep->port)};

	memset(ret_sa, 0, sizeof(*ret_sa));
	if (ep->addr.family == AF_INET) {
		memcpy(&v4.sin_addr, ep->addr.bytes, sizeof(v4.sin_addr));
		memcpy(ret_sa, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, ep->addr.bytes, sizeof(v6.sin6_addr));
	memcpy(ret_sa, &v6, sizeof(v6));
	return sizeof(v6);
}

int ip_endpoint_from_sockaddr(const struct sockaddr *sa, struct ip_endpoint *ret_ep)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		ret_ep->addr = ip_addr_from_bytes(AF_INET, &v4.sin_addr);
		ret_ep->port = ntohs(v4.sin_port);
		return 0;
	}
	if (sa->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(&v6, sa, sizeof(v6));
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		ret_ep->addr = ip_addr_from_bytes(AF_INET, v6.sin6_addr.s6_addr + 12);
	else
		ret_ep->addr = ip_addr_from_bytes(AF_INET6, &v6.sin6_addr);
	ret_ep->port = ntohs(v6.sin6_port);
	return 0;
}
