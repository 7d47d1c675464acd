/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/agent_credentials.h - what an agent's links ask of its credentials (agent_link.h)
 */
#ifndef TUNNEL_AGENT_CREDENTIALS_H
#define TUNNEL_AGENT_CREDENTIALS_H

#include <openssl/types.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"
#include "tunnel/agent_link.h"
#include "tunnel/join.h"

struct err;

DEFINE_AUTO(agent_credentials, agent_credentials_free);

/* The client's TLS context: accepts the pinned key only, shows the certificate once there is one.
 */
SSL_CTX *agent_credentials_tls(struct agent_credentials *credentials);
/* What a TLS connection that begins now will join with. */
enum join_kind agent_credentials_kind(const struct agent_credentials *credentials);
/* The payload of JOIN; its length, or -errno. Holds the token, if any: to be wiped. */
NODISCARD ssize_t agent_credentials_join(const struct agent_credentials *credentials,
	enum join_kind kind, uint8_t role, uint8_t out[static JOIN_MAX_BYTES]);
/* Takes the payload of WELCOME from the manager with this certificate. */
NODISCARD int agent_credentials_welcome(struct agent_credentials *credentials, X509 *manager,
	const uint8_t *payload, size_t len, struct err *err);

#endif /* TUNNEL_AGENT_CREDENTIALS_H */
