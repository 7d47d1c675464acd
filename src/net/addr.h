/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/addr.h - IP addresses, prefixes and endpoints of both families
 *
 * An IPv4 address uses the first four bytes; the rest are zero, so that values compare by memcmp.
 * Text forms are RFC 5952 (IPv6) and dotted quads; a prefix is "addr/len" with the host bits zero.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/attr.h"

/* "[addr]:port" or "addr/len" with its NUL. */
#define ADDR_TEXT_BYTES (INET6_ADDRSTRLEN + 9)

struct ip_addr {
	uint8_t family; /* AF_INET, AF_INET6, or 0 for none */
	uint8_t bytes[16];
};

struct ip_prefix {
	struct ip_addr addr;
	uint8_t len; /* 0..32 or 0..128 */
};

struct ip_endpoint {
	struct ip_addr addr;
	uint16_t port; /* host byte order */
};

static inline unsigned int ip_addr_len(const struct ip_addr *addr)
{
	return addr->family == AF_INET ? 4 : 16;
}

struct ip_addr ip_addr_from_bytes(uint8_t family, const void *bytes);
bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);
/* Strict: no leading zeros, zone or surrounding space. 0 or -EINVAL. */
NODISCARD int ip_addr_parse(const char *text, struct ip_addr *ret_addr);
const char *ip_addr_format(const struct ip_addr *addr, char out[static ADDR_TEXT_BYTES]);

/* "10.96.0.0/16". 0, or -EINVAL (also when host bits are set). */
NODISCARD int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix);
const char *ip_prefix_format(const struct ip_prefix *prefix, char out[static ADDR_TEXT_BYTES]);
/* A length within the family's range and no host bits. */
bool ip_prefix_valid(const struct ip_prefix *prefix);
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_addr *addr);
bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);

const char *ip_endpoint_format(const struct ip_endpoint *ep, char out[static ADDR_TEXT_BYTES]);
socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *ep, struct sockaddr_storage *ret_sa);
/* 0, or -EAFNOSUPPORT. A v4-mapped IPv6 address becomes IPv4. */
NODISCARD int ip_endpoint_from_sockaddr(const struct sockaddr *sa, struct ip_endpoint *ret_ep);

#endif /* NET_ADDR_H */
