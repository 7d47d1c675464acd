/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/listener.h - a listening TCP socket, and its connections as they come
 *
 * Embedded in its owner, which may be freed when on_stopped is called. Out of descriptors or memory
 * it pauses, so that others can give some back first.
 */
#ifndef TUNNEL_LISTENER_H
#define TUNNEL_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct err;
struct ip_endpoint;
struct listener;

struct listener_events {
	/* A new connection, non-blocking; takes the fd. May stop the listener. */
	void (*on_accept)(struct listener *listener, int fd);
	void (*on_stopped)(struct listener *listener);
};

struct listener {
	struct listener_events events;
	int fd;
	uint16_t port; /* the one it has, for port 0 */
	uv_poll_t poll;
	uv_timer_t pause;
	unsigned int open_handles;
	bool stopping;
};

/* Listens on all addresses (v6 dual-stack, v4 where there is no v6). */
NODISCARD int listener_start(struct listener *listener, uv_loop_t *loop, uint16_t port,
	const struct listener_events *events, struct err *err);
/* A listening, non-blocking socket that is there already; takes it. */
void listener_start_fd(
	struct listener *listener, uv_loop_t *loop, int fd, const struct listener_events *events);
/* Who is at the other end of an accepted connection; -errno when it is gone again. */
NODISCARD int listener_source(int fd, struct ip_endpoint *ret_source);
void listener_stop(struct listener *listener); /* on_stopped follows, from the loop */

#endif /* TUNNEL_LISTENER_H */
