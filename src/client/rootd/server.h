/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/rootd/server.h - waits for the one peer, serves it, ends with it
 *
 * A plain poll(2) loop. Returns when the peer closes or breaks the protocol, when none came in
 * time, or on SIGTERM, SIGINT or SIGHUP; everything the session made is then for session_free().
 */
#ifndef CLIENT_ROOTD_SERVER_H
#define CLIENT_ROOTD_SERVER_H

#include <sys/types.h>

#include "core/attr.h"

struct err;
struct session;

struct server {
	int listener; /* owned by the caller, as all of these */
	int signals; /* signalfd */
	uid_t uid; /* who is served */
	struct session *session;
};

/* 0: ended as meant to. */
NODISCARD int server_run(const struct server *server, struct err *err);

#endif /* CLIENT_ROOTD_SERVER_H */
