/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/join.h"

#include <errno.h>
#include <string.h>

#include "core/wire.h"

#define ROLE_MAX 1

/* UIDs are made by the API server (UUIDs, hashes of mirror pods): nothing else gets into a
 * certificate or a log. */
bool join_uid_ok(const char *uid, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

	return len > 0 && len <= JOIN_POD_UID_MAX && strspn(uid, allowed) == len;
}

int join_parse(const uint8_t *payload, size_t len, struct join *ret_join)
{
	struct wire wire = wire_reader(payload, len);
	struct join join = {.kind = wire_get_u8(&wire), .role = wire_get_u8(&wire)};
	size_t uid_len = wire_get_u8(&wire);

	if (uid_len > JOIN_POD_UID_MAX)
		return -EINVAL;
	wire_get(&wire, join.pod_uid, uid_len);
	if (join.kind == JOIN_TOKEN) {
		wire_get(&wire, join.token, sizeof(join.token));
		join.spki_len = wire_get_u16(&wire);
		if (join.spki_len == 0 || join.spki_len > sizeof(join.spki))
			return -EINVAL;
		wire_get(&wire, join.spki, join.spki_len);
	} else if (join.kind != JOIN_CERTIFICATE) {
		return -EINVAL;
	}
	if (!wire_ok(&wire) || wire_left(&wire) > 0 || join.role > ROLE_MAX ||
		!join_uid_ok(join.pod_uid, uid_len))
		return -EINVAL;
	*ret_join = join;
	explicit_bzero(join.token, sizeof(join.token));
	return 0;
}

ssize_t join_format(const struct join *join, uint8_t out[static JOIN_MAX_BYTES])
{
	struct wire wire = wire_writer(out, JOIN_MAX_BYTES);
	size_t uid_len = strnlen(join->pod_uid, sizeof(join->pod_uid));

	if (!join_uid_ok(join->pod_uid, uid_len) || join->spki_len > sizeof(join->spki) ||
		(join->kind == JOIN_TOKEN && join->spki_len == 0))
		return -EINVAL;
	wire_put_u8(&wire, join->kind);
	wire_put_u8(&wire, join->role);
	wire_put_u8(&wire, (uint8_t)uid_len);
	wire_put(&wire, join->pod_uid, uid_len);
	if (join->kind == JOIN_TOKEN) {
		wire_put(&wire, join->token, sizeof(join->token));
		wire_put_u16(&wire, (uint16_t)join->spki_len);
		wire_put(&wire, join->spki, join->spki_len);
	}
	return (ssize_t)wire.pos;
}
