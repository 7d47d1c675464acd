/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/doh.h - POST /dns-query (RFC 8484): what answers a client's DNS message
 *
 * The watch on Services where it knows the name (manager/service_names.h), else the pod's
 * nameservers. 200 with the answer; 400 for a message shorter than a DNS header, 413 for one over
 * LIMIT_DNS_MESSAGE_BYTES, 415 for another media type, 502 when no nameserver answers, 503 when too
 * many queries are in flight, 504 after LIMIT_DNS_TIMEOUT_MS.
 */
#ifndef MANAGER_DOH_H
#define MANAGER_DOH_H

#include "tunnel/h2.h"

struct dns_forwarder;
struct service_names;

/* Answers the stream when its body is complete. Forwarder and names outlive the stream. */
void doh_start(struct dns_forwarder *forwarder, const struct service_names *names,
	struct h2_stream *stream, const struct h2_head *head);

#endif /* MANAGER_DOH_H */
