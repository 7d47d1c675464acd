/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc/root_proto.h - the root daemon's messages and their bytes (docs/ipc.md)
 *
 * Fixed fields, big-endian, one message a frame, no trailing bytes. Decoding checks form only
 * (lengths, counts, families, padding); whether the root daemon may do what is asked is decided
 * where it is done.
 */
#ifndef IPC_ROOT_PROTO_H
#define IPC_ROOT_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/err.h"
#include "core/limits.h"
#include "ipc/root_client.h"

/* Goes up with every change of the messages; both programs come from one build. */
#define ROOT_PROTOCOL      3
#define ROOT_VERSION_BYTES 32
/* "telepresence-rootd-<uid>" in the abstract namespace. */
#define ROOT_SOCKET_FORMAT "telepresence-rootd-%u"

enum root_type {
	ROOT_HELLO = 1,
	ROOT_TUN = 2,
	ROOT_ROUTES = 3,
	ROOT_DNS = 4,
	ROOT_SOCKET = 5,
	ROOT_RESOLVED = 6,
	ROOT_SHORTCUT = 7,
	ROOT_REQUEST_END = 8,
	ROOT_REPLY = 0x80, /* or-ed to the request's type in its answer */
	ROOT_ERROR = 0xff
};

struct root_message {
	uint8_t type; /* enum root_type, or a request's type | ROOT_REPLY */
	uint32_t id; /* chosen by the client, repeated in the answer; 0: answer to no request */
	union {
		struct {
			uint16_t protocol;
			char version[ROOT_VERSION_BYTES];
		} hello; /* both ways */
		struct root_tun_request tun;
		struct {
			uint32_t ifindex;
			char name[16];
			bool ipv6;
		} tun_reply; /* with the descriptor */
		struct {
			uint16_t count;
			struct ip_prefix prefixes[LIMIT_ROOT_PREFIXES];
		} routes;
		struct {
			uint16_t port;
			uint8_t count;
			struct ip_addr nameservers[LIMIT_ROOT_NAMESERVERS];
		} dns;
		struct {
			uint16_t port;
			uint16_t bytes; /* names, each with its NUL; 0: none */
			char domains[LIMIT_ROOT_DOMAIN_BYTES];
		} resolved;
		struct {
			int family;
			int type;
		} socket;
		struct {
			int code; /* -errno */
			enum err_kind kind;
			char msg[ERR_MSG_BYTES];
		} error;
	};
};

/* Bytes written to out, or -EINVAL (does not fit, or a type that is not in the table). */
NODISCARD int root_message_encode(const struct root_message *msg, void *out, size_t cap);
/* 0, or -EPROTO. */
NODISCARD int root_message_decode(
	const void *data, size_t len, struct root_message *ret_msg, struct err *err);

#endif /* IPC_ROOT_PROTO_H */
