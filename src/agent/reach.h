/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/reach.h - connections of the laptop into this pod: docs/agent.md, section 8
 *
 * The manager asks for a second link, on which the agent is the HTTP/2 server; each stream of it
 * becomes a connection to 127.0.0.1 of this pod, and to nothing else.
 */
#ifndef AGENT_REACH_H
#define AGENT_REACH_H

#include <uv.h>

#include "core/attr.h"
#include "net/addr.h"

struct agent_credentials;
struct reach;

/* The credentials are borrowed. */
struct reach *reach_new(uv_loop_t *loop, struct agent_credentials *credentials);
/* A new link to the manager, in place of one that there may be. */
void reach_open(struct reach *reach, const struct ip_endpoint *manager);
void reach_stop(struct reach *reach); /* ends every connection */
void reach_free(struct reach *reach); /* NULL-safe; after the loop */

#endif /* AGENT_REACH_H */
