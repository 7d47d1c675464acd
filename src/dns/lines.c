/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/lines.h"

#include "core/alloc.h"
#include "core/err.h"
#include "dns/forward.h"
#include "dns/listen.h"
#include "dns/sockets.h"

struct line {
	struct dns_lines *lines;
	struct dns_listener *listener;
	struct dns_forwarder *forwarder;
};

struct dns_lines {
	struct dns_lines_config config;
	struct line line[DNS_NAMESERVERS];
};

/* Whom what comes to port `i` goes on to. A port without a nameserver is asked by nobody. */
static const struct ip_endpoint *servers_of(
	const struct dns_upstream *upstream, unsigned int i, unsigned int *ret_count)
{
	bool own = !upstream->in_turn && i < upstream->count;

	*ret_count = own ? 1 : upstream->count;
	return own ? &upstream->servers[i] : upstream->servers;
}

static void on_message(void *user, struct dns_peer *peer, const uint8_t *msg, size_t len)
{
	const struct line *line = user;
	const struct dns_lines_config *config = &line->lines->config;

	config->on_message(config->user, line->forwarder, peer, msg, len);
}

static int open_line(struct dns_lines *lines, uv_loop_t *loop, unsigned int i,
	struct dns_sockets *sockets, struct err *err)
{
	struct line *line = &lines->line[i];
	struct dns_forwarder_config config = {
		.socket = lines->config.socket, .user = lines->config.user, .pass_truncated = true};
	int r;

	line->lines = lines;
	config.servers = servers_of(lines->config.upstream, i, &config.server_count);
	r = dns_forwarder_new(loop, &config, &line->forwarder, err);
	return r < 0 ? r : dns_listener_new(loop, sockets, on_message, line, &line->listener, err);
}

void dns_lines_free(struct dns_lines *lines)
{
	for (unsigned int i = 0; i < DNS_NAMESERVERS; i++) {
		dns_listener_free(lines->line[i].listener);
		dns_forwarder_free(lines->line[i].forwarder);
	}
	free(lines);
}

int dns_lines_new(uv_loop_t *loop, const struct dns_lines_config *config,
	struct dns_lines **ret_lines, struct err *err)
{
	struct dns_sockets sockets[DNS_NAMESERVERS];
	struct dns_lines *lines = NULL;
	int r = dns_sockets_open(sockets, DNS_NAMESERVERS);

	if (r < 0)
		return err_set_errno(err, r, "listen for DNS on the loopback addresses");
	lines = XNEW(struct dns_lines);
	lines->config = *config;
	for (unsigned int i = 0; r == 0 && i < DNS_NAMESERVERS; i++)
		r = open_line(lines, loop, i, &sockets[i], err);
	lines->config.upstream = NULL; /* the caller's */
	if (r < 0) {
		for (unsigned int i = 0; i < DNS_NAMESERVERS; i++)
			dns_sockets_close(&sockets[i]);
		dns_lines_free(lines);
		return r;
	}
	*ret_lines = lines;
	return 0;
}

uint16_t dns_lines_port(const struct dns_lines *lines)
{
	return dns_listener_port(lines->line[0].listener);
}

struct dns_forwarder *dns_lines_forwarder(const struct dns_lines *lines)
{
	return lines->line[0].forwarder;
}

uint64_t dns_lines_lost(const struct dns_lines *lines)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < DNS_NAMESERVERS; i++)
		lost += dns_listener_lost(lines->line[i].listener);
	return lost;
}

void dns_lines_set_upstream(struct dns_lines *lines, const struct dns_upstream *upstream)
{
	for (unsigned int i = 0; i < DNS_NAMESERVERS; i++) {
		unsigned int count = 0;
		const struct ip_endpoint *servers = servers_of(upstream, i, &count);

		dns_forwarder_set_servers(lines->line[i].forwarder, servers, count);
	}
}
