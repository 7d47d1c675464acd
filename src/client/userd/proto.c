/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/proto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "core/limits.h"
#include "core/wire.h"
#include "ipc/channel.h"

#define FRAME_HEADER_BYTES 4
/* Deeper than any message of ours. */
#define FRAME_DEPTH 16

socklen_t userd_address(uid_t uid, struct sockaddr_un *ret_address)
{
	int len;

	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	len = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
		"telepresence-userd-%u", uid);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

int userd_check_peer(int fd, uid_t uid, struct err *err)
{
	struct ucred cred = {.uid = (uid_t)-1};
	int r = ipc_peer_cred(fd, &cred, err);

	if (r < 0)
		return r;
	if (cred.uid != uid)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"the user daemon's socket is held by uid %u, not by uid %u", cred.uid, uid);
	return 0;
}

int userd_put_frame(struct buf *out, json_object *object)
{
	uint8_t header[FRAME_HEADER_BYTES];
	struct wire wire = wire_writer(header, sizeof(header));
	size_t len = 0;
	const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &len);

	if (!text || len > LIMIT_USER_MESSAGE_BYTES || buf_room(out) < len + sizeof(header))
		return -ENOBUFS;
	wire_put_u32(&wire, (uint32_t)len);
	if (buf_append(out, header, sizeof(header)) < 0)
		return -ENOBUFS;
	return buf_append(out, text, len);
}

static int parse_object(const uint8_t *text, size_t len, json_object **ret_object)
{
	struct json_tokener *tokener = json_tokener_new_ex(FRAME_DEPTH);
	json_object *object;
	bool whole;

	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, (const char *)text, (int)len);
	whole = json_tokener_get_error(tokener) == json_tokener_success &&
		json_tokener_get_parse_end(tokener) == len;
	json_tokener_free(tokener);
	if (!whole || !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return -EPROTO;
	}
	*ret_object = object;
	return 1;
}

int userd_get_frame(struct buf *in, json_object **ret_object)
{
	struct wire wire;
	uint32_t len;
	int r;

	if (buf_len(in) < FRAME_HEADER_BYTES)
		return 0;
	wire = wire_reader(buf_head(in), FRAME_HEADER_BYTES);
	len = wire_get_u32(&wire);
	if (len == 0 || len > LIMIT_USER_MESSAGE_BYTES)
		return -EPROTO;
	if (buf_len(in) < FRAME_HEADER_BYTES + (size_t)len)
		return 0;
	r = parse_object(buf_head(in) + FRAME_HEADER_BYTES, len, ret_object);
	buf_consume(in, FRAME_HEADER_BYTES + (size_t)len);
	return r;
}

json_object *json_get(json_object *object, const char *key, json_type type)
{
	json_object *value = NULL;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, key, &value) ||
		!json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *json_get_string(json_object *object, const char *key)
{
	json_object *value = json_get(object, key, json_type_string);

	return value ? json_object_get_string(value) : NULL;
}

bool json_get_bool(json_object *object, const char *key)
{
	return json_object_get_boolean(json_get(object, key, json_type_boolean));
}

int64_t json_get_int(json_object *object, const char *key, int64_t fallback)
{
	json_object *value = json_get(object, key, json_type_int);

	return value ? json_object_get_int64(value) : fallback;
}

void json_put_string(json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}
