/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service_names.h - names and addresses of Services with a ClusterIP, answered from a watch
 *
 * CoreDNS keeps an answer for 5 s, also that a name does not exist. The watch is behind by
 * milliseconds, and it tells clients which names changed, so that they forget them too. What it
 * does not know (headless and external Services, pods, other types) is CoreDNS's to answer.
 */
#ifndef MANAGER_SERVICE_NAMES_H
#define MANAGER_SERVICE_NAMES_H

#include <stdint.h>

#include "core/attr.h"
#include "tunnel/h2.h"

/* Of a request for GET /v1/names. */
#define NAMES_FIELD "telepresence-namespace"

struct kube_client;
struct service_names;

/* cluster_domain: copied. */
struct service_names *service_names_new(struct kube_client *client, const char *cluster_domain);
/* Every stream must be closed. NULL-safe. */
void service_names_free(struct service_names *names);
/* The answer, malloc'ed; NULL: ask the nameserver. */
NODISCARD uint8_t *service_names_answer(
	const struct service_names *names, const uint8_t *msg, size_t len, size_t *ret_len);
/* GET /v1/names: a line for each change, for as long as the stream lives. namespace: whose headless
 * Services are told too; NULL: none. Copied. */
void service_names_stream(
	struct service_names *names, struct h2_stream *stream, const char *namespace);

#endif /* MANAGER_SERVICE_NAMES_H */
