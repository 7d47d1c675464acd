/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/rootlink.h - the connection to the root daemon on the loop, and its end
 *
 * The root daemon lives exactly as long as this link: it ends when the link is closed, and when it
 * ends first, on_gone is called.
 */
#ifndef CLIENT_USERD_ROOTLINK_H
#define CLIENT_USERD_ROOTLINK_H

#include <uv.h>

#include "core/attr.h"

struct err;
struct root_client;
struct root_link;

/* How long a close waits for the root daemon's process to end: one that stands still does not. */
#define ROOT_LINK_END_MS 1500

NODISCARD int root_link_open(uv_loop_t *loop, void (*on_gone)(void *user), void *user,
	struct root_link **ret_link, struct err *err);
struct root_client *root_link_client(const struct root_link *link);
/* Hangs up; on_ended (may be NULL) once its process has ended, never from within; left: its pid
 * when it has not, in time. NULL-safe: then nothing is called. */
void root_link_close(struct root_link *link, void (*on_ended)(void *user, pid_t left), void *user);

#endif /* CLIENT_USERD_ROOTLINK_H */
