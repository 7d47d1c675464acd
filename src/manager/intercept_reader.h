/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_reader.h - a container for the environment that the pod's agent does not have
 *
 * Two intercepts of one pod may want the environments of two containers, and a container of ours
 * repeats one. Who asks for the other one's gets a reader: placed as an agent is, with nothing to
 * do but to say its environment; it ends itself when idle.
 */
#ifndef MANAGER_INTERCEPT_READER_H
#define MANAGER_INTERCEPT_READER_H

#include "core/attr.h"

struct err;
struct seat;

/* 0: somebody has that environment, or soon will. -EAGAIN: not just now; -EBUSY: err says why. */
NODISCARD int reader_want(struct seat *seat, const char *container, struct err *err);
void readers_drop(struct seat *seat); /* with the seat */

#endif /* MANAGER_INTERCEPT_READER_H */
