/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/doh.h - cluster DNS queries through the tunnel (RFC 8484, POST /dns-query)
 */
#ifndef CLIENT_USERD_DOH_H
#define CLIENT_USERD_DOH_H

#include <stdint.h>

#include "core/attr.h"

struct dns_query;
struct doh;
struct uplink;

struct doh *doh_new(const struct uplink *uplink);
/* Fails every query in flight; before the resolver that asked is freed. NULL-safe. */
void doh_free(struct doh *doh);
/* As dns_events.query: dns_query_answer() follows, unless -errno. */
NODISCARD int doh_ask(struct doh *doh, struct dns_query *query, const uint8_t *msg, size_t len);

#endif /* CLIENT_USERD_DOH_H */
