/* SPDX-License-Identifier: Apache-2.0 */
/* client/userd/session_stale.h - Sessions that daemons which are gone have left here */
#ifndef CLIENT_USERD_SESSION_STALE_H
#define CLIENT_USERD_SESSION_STALE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

#define SESSION_PLACE_BYTES 72

struct session;

/* Who made a Session, and where; all borrowed. */
struct session_maker {
	const char *owner, *host, *place, *uid;
};

/* Deletes Sessions that were left here by daemons which are gone. */
void session_drop_stale(struct session *session);
NODISCARD bool session_is_stale(json_object *object, const struct session_maker *maker);
/* Where this daemon is the only one of its kind; empty and -errno when nobody can say. */
NODISCARD int session_place(char out[static SESSION_PLACE_BYTES]);

#endif /* CLIENT_USERD_SESSION_STALE_H */
