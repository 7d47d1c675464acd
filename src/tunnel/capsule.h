/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/capsule.h - DATAGRAM capsules (RFC 9297) with context 0 (RFC 9298) on a stream of bytes
 *
 * A stream of the protocol "connect-udp" carries one UDP payload in each, in both directions; one
 * of "telepresence-icmp" an echo message (docs/manager.md). Capsules of other types are skipped, as
 * RFC 9297 3.2 wants; datagrams of other contexts too.
 */
#ifndef TUNNEL_CAPSULE_H
#define TUNNEL_CAPSULE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/buf.h"

/* The largest echo over IPv6 without jumbograms: identifier, sequence number and 65527 bytes of
 * data. A UDP payload has as many bytes as that data. */
#define CAPSULE_PAYLOAD_MAX_BYTES (4 + 65527)
/* Type, length and context of a datagram. */
#define CAPSULE_HEADER_MAX_BYTES 16

struct capsule_parser {
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];
	size_t header_len;
	uint64_t value_left; /* of the capsule whose header is complete */
	bool in_value, skip;
	struct buf value;
};

typedef void (*capsule_fn)(void *user, const uint8_t *payload, size_t len);

void capsule_parser_init(struct capsule_parser *parser);
void capsule_parser_done(struct capsule_parser *parser);
/* Takes all len bytes; on_datagram for each datagram that is complete. It must not free the parser.
 * 0, or -EPROTO for a datagram longer than any there is: reset the stream. */
NODISCARD int capsule_parse(struct capsule_parser *parser, const uint8_t *data, size_t len,
	capsule_fn on_datagram, void *user);
/* Writes what stands before a payload of len bytes; returns its length. */
size_t capsule_header(uint8_t out[static CAPSULE_HEADER_MAX_BYTES], size_t len);

#endif /* TUNNEL_CAPSULE_H */
