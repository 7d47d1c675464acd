/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/bypass.h - a connection that the laptop did not take, and the app that gets it
 *
 * Socket to socket through pipes (splice(2)), so no byte is copied; an idle connection has no pipe.
 * Half-close passes in both directions, a reset or a refused connection too; a side that does not
 * read stops the other by the kernel's own buffers. SIGPIPE must be ignored. Loop thread only.
 */
#ifndef AGENT_BYPASS_H
#define AGENT_BYPASS_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

/* The app is in this pod: its backlog is full, or it is not there. */
#define BYPASS_CONNECT_MS 20000

struct bypass;

/* Takes the client's fd, connects to the app by a socket with this mark and moves bytes until both
 * directions are over. An app that refuses resets the client. on_done is called once, never from
 * within. */
void bypass_start(uv_loop_t *loop, int fd, const struct ip_endpoint *app, uint32_t mark,
	void (*on_done)(void *user), void *user, struct bypass **ret_bypass);
/* Resets both sides; on_done is called before it returns. */
void bypass_abort(struct bypass *bypass);

#endif /* AGENT_BYPASS_H */
