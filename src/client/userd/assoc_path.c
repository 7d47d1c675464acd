/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/assoc_path.h"

#include <stdio.h>
#include <string.h>

/* An IPv6 address with every colon as %3A. */
#define HOST_BYTES (3 * ADDR_TEXT_BYTES)

/* An address as one segment of a path (RFC 9298 2). */
static void put_host(const struct ip_addr *addr, char out[static HOST_BYTES])
{
	char text[ADDR_TEXT_BYTES];
	size_t len = 0;

	for (const char *c = ip_addr_format(addr, text); *c; c++) {
		if (*c == ':') {
			memcpy(out + len, "%3A", 3);
			len += 3;
		} else {
			out[len++] = *c;
		}
	}
	out[len] = '\0';
}

void assoc_path(const struct ip_endpoint *to, bool echo, char out[static ASSOC_PATH_BYTES])
{
	char host[HOST_BYTES];

	put_host(&to->addr, host);
	if (echo)
		(void)snprintf(out, ASSOC_PATH_BYTES, "/.well-known/telepresence/icmp/%s/", host);
	else
		(void)snprintf(
			out, ASSOC_PATH_BYTES, "/.well-known/masque/udp/%s/%u/", host, to->port);
}
