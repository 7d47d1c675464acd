/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/routes.h"

#include <string.h>

#include "manager/cluster_info.h"
#include "tunnel/datagram.h"
#include "manager/doh.h"
#include "manager/intercept_routes.h"
#include "manager/service_names.h"
#include "manager/sessions.h"
#include "tunnel/reply.h"

typedef void (*route_fn)(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head);

static void serve_dial(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	if (h2_head_get(head, INTERCEPT_FIELD))
		intercept_route_reach(routes->intercepts, peer, stream, head);
	else
		dial_start(&routes->dial, &peer->dials, stream, head);
}

static void serve_udp(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	if (h2_head_get(head, INTERCEPT_FIELD))
		intercept_route_reach(routes->intercepts, peer, stream, head);
	else
		datagram_start_udp(&routes->dial, &peer->associations, stream, head);
}

static void serve_icmp(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	datagram_start_icmp(&routes->dial, &peer->associations, stream, head);
}

static void serve_doh(const struct routes *routes, struct peer *peer UNUSED,
	struct h2_stream *stream, const struct h2_head *head)
{
	doh_start(routes->doh, stream, head);
}

static void serve_cluster(const struct routes *routes, struct peer *peer UNUSED,
	struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	cluster_info_stream(routes->info, stream);
}

static void serve_names(const struct routes *routes, struct peer *peer UNUSED,
	struct h2_stream *stream, const struct h2_head *head)
{
	service_names_stream(routes->names, stream, h2_head_get(head, NAMES_FIELD));
}

static void serve_env(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	intercept_route_env(routes->intercepts, peer, stream, head);
}

static void serve_exit(const struct routes *routes, struct peer *peer UNUSED,
	struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	intercept_route_exit(routes->intercepts, stream);
}

static void serve_version(const struct routes *routes UNUSED, struct peer *peer UNUSED,
	struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	static const char body[] =
		"{\"name\":\"traffic-manager\",\"version\":\"" TP_VERSION "\"}\n";

	reply_body(stream, 200, "application/json", body, sizeof(body) - 1);
}

/* protocol NULL: the request has none; path NULL: the handler reads it; one that ends with a slash
 * is the beginning of one. */
static const struct {
	const char *method, *path, *protocol;
	route_fn serve;
} route_table[] = {
	{"CONNECT", NULL, NULL, serve_dial},
	{"CONNECT", NULL, "connect-udp", serve_udp},
	{"CONNECT", NULL, "telepresence-icmp", serve_icmp},
	{"POST", "/dns-query", NULL, serve_doh},
	{"GET", "/v1/cluster", NULL, serve_cluster},
	{"GET", "/v1/names", NULL, serve_names},
	{"GET", "/v1/version", NULL, serve_version},
	{"GET", INTERCEPT_ROUTE, NULL, serve_env},
	{"POST", "/v1/agents/exit", NULL, serve_exit},
};

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool path_matches(const char *path, const char *pattern)
{
	size_t len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '/')
		return path && strncmp(path, pattern, len) == 0;
	return same(path, pattern);
}

void routes_serve(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	int status = 404;

	for (size_t i = 0; i < ARRAY_SIZE(route_table); i++) {
		if (!same(head->protocol, route_table[i].protocol) ||
			(route_table[i].path && !path_matches(head->path, route_table[i].path)))
			continue;
		if (same(head->method, route_table[i].method)) {
			route_table[i].serve(routes, peer, stream, head);
			return;
		}
		if (route_table[i].path)
			status = 405;
	}
	reply_status(stream, status);
}
