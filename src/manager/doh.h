/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/doh.h - POST /dns-query (RFC 8484): what answers a client's DNS message
 *
 * The watch on Services where it knows the name (manager/service_names.h), else the pod's
 * nameservers. 200 with the answer; 400 for a message shorter than a DNS header, 413 for one over
 * LIMIT_DNS_MESSAGE_BYTES, 415 for another media type, 502 when no nameserver answers, 503 when too
 * many queries are in flight, 504 after LIMIT_DNS_TIMEOUT_MS.
 * A query that differs from one in flight by its type alone waits for that: what does not exist has
 * no type, and programs ask for A and AAAA at the same time.
 */
#ifndef MANAGER_DOH_H
#define MANAGER_DOH_H

#include "tunnel/h2.h"

struct dns_forwarder;
struct doh_desk;
struct service_names;

/* Who answers; forwarder and names are borrowed. Outlives the streams. */
struct doh_desk *doh_desk_new(struct dns_forwarder *forwarder, const struct service_names *names);
void doh_desk_free(struct doh_desk *desk); /* NULL-safe */
/* Answers the stream when its body is complete. */
void doh_start(struct doh_desk *desk, struct h2_stream *stream, const struct h2_head *head);

#endif /* MANAGER_DOH_H */
