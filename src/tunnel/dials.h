/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/dials.h - the dials of one peer that are in flight
 *
 * One too many ends the oldest as if it had timed out, so that whoever waits for the dead stops
 * nobody.
 */
#ifndef TUNNEL_DIALS_H
#define TUNNEL_DIALS_H

#include "tunnel/outgoing.h"

/* A scan of dead addresses would hold sockets for LIMIT_DIAL_MS. */
#define DIAL_MAX_PER_PEER 4096

struct dial;

/* Zero at first. Lives as long as the peer's streams. */
struct dials {
	struct dial *oldest;
	unsigned int count;
	struct outgoing outgoing;
};

#endif /* TUNNEL_DIALS_H */
