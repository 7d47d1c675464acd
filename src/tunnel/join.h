/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/join.h - the record JOIN, an agent's first one (docs/agent.md, section 2)
 */
#ifndef TUNNEL_JOIN_H
#define TUNNEL_JOIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"
#include "tunnel/agent_server.h"
#include "tunnel/identity.h"

/* X.520's bound of a common name, which the pod's UID becomes. */
#define JOIN_POD_UID_MAX 64
#define JOIN_MAX_BYTES   (3 + JOIN_POD_UID_MAX + AGENT_TOKEN_BYTES + 2 + IDENTITY_KEY_DER_MAX)

enum join_kind { JOIN_TOKEN = 1, JOIN_CERTIFICATE = 2 };

struct join {
	uint8_t kind, role; /* enum join_kind; 0: the agent is the HTTP/2 client, 1: the server */
	char pod_uid[JOIN_POD_UID_MAX + 1]; /* letters, digits and hyphens */
	/* Of JOIN_TOKEN: */
	uint8_t token[AGENT_TOKEN_BYTES];
	uint8_t spki[IDENTITY_KEY_DER_MAX];
	size_t spki_len;
};

/* Whether it may be a pod's UID; len bytes without NUL. */
bool join_uid_ok(const char *uid, size_t len);
/* 0 or -EINVAL. */
NODISCARD int join_parse(const uint8_t *payload, size_t len, struct join *ret_join);
/* Length, or -EINVAL for what join_parse() would not take. */
NODISCARD ssize_t join_format(const struct join *join, uint8_t out[static JOIN_MAX_BYTES]);

#endif /* TUNNEL_JOIN_H */
