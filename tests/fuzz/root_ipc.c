/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: ipc */
/*
 * The root daemon's frames: what decodes has one form only, so it encodes to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "ipc/root_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	struct root_message msg;
	struct err err = ERR_INIT;

	if (root_message_decode(data, size, &msg, &err) < 0) {
		if (err.kind == ERR_NONE || !err.msg[0])
			abort();
		return 0;
	}
	if (root_message_encode(&msg, frame, sizeof(frame)) != (int)size ||
		memcmp(frame, data, size) != 0)
		abort();
	return 0;
}
