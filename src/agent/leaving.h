/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/leaving.h - links to a manager that ends: what they carry goes on for as long as it may
 *
 * The manager closes each when nothing flows through it any more, or its own time is over.
 */
#ifndef AGENT_LEAVING_H
#define AGENT_LEAVING_H

struct agent_link;
struct leaving;

struct leaving *leaving_new(void);
/* Takes the link. The oldest one ends when there are too many. */
void leaving_add(struct leaving *leaving, struct agent_link *link);
void leaving_clear(struct leaving *leaving); /* ends them all */
void leaving_free(struct leaving *leaving); /* NULL-safe */

#endif /* AGENT_LEAVING_H */
