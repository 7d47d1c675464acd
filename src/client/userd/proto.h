/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/proto.h - frames between the command line and the user daemon (docs/ipc-userd.md)
 *
 * A frame is a big-endian u32 length and that many bytes of JSON, one object. The socket is the
 * abstract SOCK_STREAM name "@telepresence-userd-<uid>": it belongs to the network namespace and is
 * gone with its process. Each side refuses a peer of another uid.
 */
#ifndef CLIENT_USERD_PROTO_H
#define CLIENT_USERD_PROTO_H

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "core/attr.h"
#include "core/buf.h"

struct err;

#define USERD_PROTOCOL    2
#define USERD_FRAME_BYTES (LIMIT_USER_MESSAGE_BYTES + 4)

socklen_t userd_address(uid_t uid, struct sockaddr_un *ret_address);
/* The peer of a connected socket has this uid, else -EPERM. */
NODISCARD int userd_check_peer(int fd, uid_t uid, struct err *err);
/* Appends the frame of one object; -ENOBUFS when it is over LIMIT_USER_MESSAGE_BYTES. */
NODISCARD int userd_put_frame(struct buf *out, json_object *object);
/* Takes one whole frame off `in`: 1 and the object (the caller's), 0 when more bytes are needed,
 * -EPROTO when it is no JSON object or too long. */
NODISCARD int userd_get_frame(struct buf *in, json_object **ret_object);

/* Members of a JSON object: NULL, or the fallback, when absent or of another type. Borrowed. */
const char *json_get_string(json_object *object, const char *key);
json_object *json_get(json_object *object, const char *key, json_type type);
bool json_get_bool(json_object *object, const char *key);
int64_t json_get_int(json_object *object, const char *key, int64_t fallback);
/* Adds a string; a NULL value adds nothing. */
void json_put_string(json_object *object, const char *key, const char *value);

#endif /* CLIENT_USERD_PROTO_H */
