/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_routes.h - requests of clients about intercepts and agents (docs/manager.md)
 */
#ifndef MANAGER_INTERCEPT_ROUTES_H
#define MANAGER_INTERCEPT_ROUTES_H

struct h2_head;
struct h2_stream;
struct intercepts;
struct peer;

#define INTERCEPT_ROUTE "/v1/intercepts/"
#define INTERCEPT_FIELD "telepresence-intercept"

/* set NULL: intercepts are not served yet. Each takes over the stream. */
void intercept_route_env(struct intercepts *set, const struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head);
void intercept_route_exit(struct intercepts *set, struct h2_stream *stream);

/* CONNECT or connect-udp with the field telepresence-intercept: into one of that intercept's pods.
 */
void intercept_route_reach(struct intercepts *set, const struct peer *peer,
	struct h2_stream *stream, const struct h2_head *head);

#endif /* MANAGER_INTERCEPT_ROUTES_H */
