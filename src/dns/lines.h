/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/lines.h - the resolver's ports, one for each nameserver, and where their queries go on to
 *
 * A redirected query does not tell whom it was for; the port that it comes to does. The ports
 * follow each other, on 127.0.0.1 and ::1, UDP and TCP.
 */
#ifndef DNS_LINES_H
#define DNS_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct dns_forwarder;
struct dns_lines;
struct dns_peer;
struct err;

/* As many as a resolv.conf has (MAXNS of resolv.h). */
#define DNS_NAMESERVERS 3

/* Asked for what is not the cluster's: each for what comes to its own port, or all in turn, the
 * next one when one does not answer. They are copied. */
struct dns_upstream {
	const struct ip_endpoint *servers;
	unsigned int count; /* 1..DNS_NAMESERVERS */
	bool in_turn;
};

struct dns_lines_config {
	const struct dns_upstream *upstream;
	/* As dns_message_fn; the forwarder asks the nameserver that the message was for. */
	void (*on_message)(void *user, struct dns_forwarder *forwarder, struct dns_peer *peer,
		const uint8_t *msg, size_t len);
	/* As dns_events.upstream_socket. */
	int (*socket)(void *user, int family, int type);
	void *user;
};

NODISCARD int dns_lines_new(uv_loop_t *loop, const struct dns_lines_config *config,
	struct dns_lines **ret_lines, struct err *err);
/* Deferred. Every peer must have been given back. */
void dns_lines_free(struct dns_lines *lines);
/* The first nameserver's. */
uint16_t dns_lines_port(const struct dns_lines *lines);
struct dns_forwarder *dns_lines_forwarder(const struct dns_lines *lines);
uint64_t dns_lines_lost(const struct dns_lines *lines); /* as dns_listener_lost(), of all */
void dns_lines_set_upstream(struct dns_lines *lines, const struct dns_upstream *upstream);

#endif /* DNS_LINES_H */
