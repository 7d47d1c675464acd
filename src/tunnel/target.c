/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/target.h"

#include <errno.h>
#include <string.h>

#define UDP_PREFIX      "/.well-known/masque/udp/"
#define ICMP_PREFIX     "/.well-known/telepresence/icmp/"
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* Decimal without sign or leading zero, 1..65535. */
static int parse_port(const char *text, size_t len, uint16_t *ret_port)
{
	unsigned int value = 0;

	if (len == 0 || len > 5 || text[0] == '0')
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	if (value > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)value;
	return 0;
}

/* Letters, digits, '-', '_' and '.': what getaddrinfo may be asked without surprises. */
static bool name_valid(const char *host)
{
	if (host[0] == '.' || host[0] == '-' || host[0] == '\0')
		return false;
	return strspn(host, NAME_CHARACTERS) == strlen(host) && !strstr(host, "..");
}

/* All digits and dots, but not an address: getaddrinfo would read "127.1" or "0x7f.1" as one. */
static bool looks_numeric(const char *host)
{
	const char *last = strrchr(host, '.');

	if (last && last[1] == '\0')
		return false;
	last = last ? last + 1 : host;
	return *last >= '0' && *last <= '9';
}

static int set_host(struct target *target, const char *host, size_t len, bool literal_only)
{
	if (len == 0 || len >= TARGET_HOST_BYTES)
		return -EINVAL;
	memcpy(target->host, host, len);
	target->host[len] = '\0';
	if (ip_addr_parse(target->host, &target->addr) == 0)
		return 0;
	target->addr = (struct ip_addr){.family = 0};
	if (literal_only || !name_valid(target->host) || looks_numeric(target->host))
		return -EINVAL;
	return 0;
}

int target_parse_port(const char *text, uint16_t *ret_port)
{
	return parse_port(text, strlen(text), ret_port);
}

int target_parse(const char *authority, struct target *ret_target)
{
	const char *colon = authority ? strrchr(authority, ':') : NULL;
	struct target target = {.port = 0};
	size_t len;
	int r;

	if (!colon)
		return -EINVAL;
	r = parse_port(colon + 1, strlen(colon + 1), &target.port);
	if (r < 0)
		return r;
	len = (size_t)(colon - authority);
	if (authority[0] == '[') {
		if (len < 2 || authority[len - 1] != ']')
			return -EINVAL;
		r = set_host(&target, authority + 1, len - 2, true);
		if (r == 0 && target.addr.family != AF_INET6)
			r = -EINVAL;
	} else {
		r = set_host(&target, authority, len, false);
		if (r == 0 && target.addr.family == AF_INET6)
			r = -EINVAL;
	}
	if (r == 0)
		*ret_target = target;
	return r;
}

int target_from_host(const char *host, uint16_t port, struct target *ret_target)
{
	struct target target = {.port = port};
	int r = port == 0 ? -EINVAL : set_host(&target, host, strlen(host), false);

	if (r == 0)
		*ret_target = target;
	return r;
}

/* Copies one path segment with "%3A" decoded; no other escape is needed by a host. */
static int decode_segment(const char *segment, size_t len, char out[static TARGET_HOST_BYTES])
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char c = segment[i];

		if (c == '%') {
			if (len - i < 3 || segment[i + 1] != '3' || (segment[i + 2] | 0x20) != 'a')
				return -EINVAL;
			c = ':';
			i += 2;
		}
		if (used + 1 >= TARGET_HOST_BYTES)
			return -EINVAL;
		out[used++] = c;
	}
	out[used] = '\0';
	return 0;
}

/* The address in the first segment after prefix; names are not resolved for datagrams. */
static int parse_segment_address(
	const char *path, const char *prefix, struct target *target, const char **ret_rest)
{
	char host[TARGET_HOST_BYTES];
	const char *slash;
	int r;

	if (!path || strncmp(path, prefix, strlen(prefix)) != 0)
		return -EINVAL;
	path += strlen(prefix);
	slash = strchr(path, '/');
	if (!slash)
		return -EINVAL;
	r = decode_segment(path, (size_t)(slash - path), host);
	if (r < 0)
		return r;
	*ret_rest = slash + 1;
	return set_host(target, host, strlen(host), true);
}

int target_parse_udp(const char *path, struct target *ret_target)
{
	struct target target = {.port = 0};
	const char *rest;
	size_t len;
	int r = parse_segment_address(path, UDP_PREFIX, &target, &rest);

	if (r < 0)
		return r;
	len = strlen(rest);
	if (len == 0 || rest[len - 1] != '/')
		return -EINVAL;
	r = parse_port(rest, len - 1, &target.port);
	if (r == 0)
		*ret_target = target;
	return r;
}

int target_parse_icmp(const char *path, struct target *ret_target)
{
	struct target target = {.port = 0};
	const char *rest;
	int r = parse_segment_address(path, ICMP_PREFIX, &target, &rest);

	if (r < 0)
		return r;
	if (*rest)
		return -EINVAL;
	*ret_target = target;
	return 0;
}

int target_policy_add(struct target_policy *policy, const char *addresses)
{
	while (*addresses) {
		size_t len = strcspn(addresses, ",");
		char text[ADDR_TEXT_BYTES];

		if (len >= sizeof(text) || policy->own_count == TARGET_OWN_ADDRESSES)
			return -EINVAL;
		memcpy(text, addresses, len);
		text[len] = '\0';
		if (ip_addr_parse(text, &policy->own[policy->own_count]) < 0)
			return -EINVAL;
		policy->own_count++;
		addresses += len;
		addresses += *addresses == ',';
	}
	return 0;
}

static bool v4_allowed(const uint8_t *b)
{
	bool this_network = b[0] == 0;
	bool loopback = b[0] == 127;
	bool link_local = b[0] == 169 && b[1] == 254;
	bool multicast_or_reserved = b[0] >= 224; /* with 255.255.255.255 */

	return !this_network && !loopback && !link_local && !multicast_or_reserved;
}

static bool v6_allowed(const uint8_t *b)
{
	static const uint8_t zero[15];
	bool unspecified_or_loopback = memcmp(b, zero, 15) == 0 && b[15] <= 1;
	bool link_local = b[0] == 0xfe && (b[1] & 0xc0) == 0x80;

	return !unspecified_or_loopback && !link_local && b[0] != 0xff;
}

/* ::ffff:a.b.c.d and ::a.b.c.d reach the IPv4 address within. */
static bool v6_embeds_v4(const uint8_t *b)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t zero[12];

	return memcmp(b, mapped, 12) == 0 || memcmp(b, zero, 12) == 0;
}

bool target_allowed(const struct target_policy *policy, const struct ip_endpoint *endpoint)
{
	struct ip_addr addr = endpoint->addr;

	if (addr.family == AF_INET6 && !v6_allowed(addr.bytes))
		return false;
	if (addr.family == AF_INET6 && v6_embeds_v4(addr.bytes))
		addr = ip_addr_from_bytes(AF_INET, endpoint->addr.bytes + 12);
	if (addr.family == AF_INET && !v4_allowed(addr.bytes))
		return false;
	for (unsigned int i = 0; i < policy->own_count; i++) {
		if (endpoint->port == policy->own_port && ip_addr_equal(&addr, &policy->own[i]))
			return false;
	}
	return addr.family != 0;
}
