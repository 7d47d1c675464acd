/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/echo.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "core/wire.h"

ssize_t echo_to_icmp(
	int family, const uint8_t *datagram, size_t len, uint8_t *out, uint16_t *ret_ident)
{
	struct wire in = wire_reader(datagram, len);
	struct wire icmp = wire_writer(out, ECHO_ICMP_BYTES);
	uint16_t ident = wire_get_u16(&in);
	uint16_t seq = wire_get_u16(&in);

	if (!wire_ok(&in))
		return -EINVAL;
	/* The kernel puts its own identifier and the checksum in. */
	wire_put_u8(&icmp, family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST);
	wire_put_u8(&icmp, 0);
	wire_put_u16(&icmp, 0);
	wire_put_u16(&icmp, 0);
	wire_put_u16(&icmp, seq);
	memcpy(out + ECHO_ICMP_BYTES, datagram + ECHO_HEADER_BYTES, len - ECHO_HEADER_BYTES);
	*ret_ident = ident;
	return (ssize_t)(len + ECHO_ICMP_BYTES - ECHO_HEADER_BYTES);
}

ssize_t echo_from_icmp(
	int family, uint16_t ident, uint8_t *message, size_t len, uint8_t **ret_start)
{
	uint8_t reply = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	struct wire out;

	if (len < ECHO_ICMP_BYTES || message[0] != reply || message[1] != 0)
		return -EINVAL;
	/* The sequence number stands already where it is wanted, before the data. */
	*ret_start = message + ECHO_ICMP_BYTES - ECHO_HEADER_BYTES;
	out = wire_writer(*ret_start, 2);
	wire_put_u16(&out, ident);
	return (ssize_t)(len - ECHO_ICMP_BYTES + ECHO_HEADER_BYTES);
}
