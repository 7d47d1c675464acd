/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/former.h - tunnels that another one has taken over from
 *
 * One that was silent while another was opened may speak again: its streams go on until they have
 * ended by themselves, or it has died. No new ones of ours are opened on it.
 */
#ifndef CLIENT_USERD_FORMER_H
#define CLIENT_USERD_FORMER_H

#include <stddef.h>
#include <uv.h>

#include "core/attr.h"

struct h2_head;
struct h2_stream;
struct former;
struct tunnel_client;

/* on_new_stream: of reversed tunnels, as tunnel/client.h; else NULL. */
struct former *former_new(uv_loop_t *loop,
	void (*on_new_stream)(void *user, struct h2_stream *stream, const struct h2_head *head),
	void *user);
/* Takes the tunnel. The oldest one ends when there are too many. */
void former_add(struct former *former, struct tunnel_client *tunnel);
size_t former_streams(const struct former *former);
void former_clear(struct former *former); /* ends them all */
void former_free(struct former *former); /* NULL-safe */

#endif /* CLIENT_USERD_FORMER_H */
