/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: client */
/*
 * What the user daemon reads: frames of a command line with their arguments, lines of the manager,
 * lines of /proc. The first byte picks the reader.
 */
#include <stdlib.h>
#include <string.h>

#include "client/userd/args.h"
#include "client/userd/hosts.h"
#include "client/userd/info.h"
#include "client/userd/proto.h"
#include "client/userd/routes.h"
#include "core/err.h"
#include "core/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_frames(const uint8_t *data, size_t size)
{
	json_object *object = NULL;
	struct buf in;

	buf_init(&in, USERD_FRAME_BYTES);
	if (buf_append(&in, data, size) < 0)
		abort();
	while (userd_get_frame(&in, &object) == 1) {
		struct connect_args args;

		if (!json_object_is_type(object, json_type_object))
			abort();
		if (connect_args_from_json(object, &args, NULL) == 0)
			connect_args_done(&args);
		json_object_put(object);
	}
	buf_done(&in);
}

static void read_info(const uint8_t *data, size_t size)
{
	struct cluster_info info;
	struct err err = ERR_INIT;

	if (cluster_info_parse((const char *)data, size, &info, &err) == 0)
		cluster_info_done(&info);
	else if (!err.msg[0])
		abort();
}

static void read_line(const uint8_t *data, size_t size)
{
	char *line = calloc(size + 1, 1);
	struct route route;

	memcpy(line, data, size);
	if (routes_parse4(line, &route) && !ip_prefix_valid(&route.prefix))
		abort();
	if (routes_parse6(line, &route) && !ip_prefix_valid(&route.prefix))
		abort();
	free(hosts_of_url(line));
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 65536)
		return 0;
	switch (data[0] % 3) {
	case 0:
		read_frames(data + 1, size - 1);
		break;
	case 1:
		read_info(data + 1, size - 1);
		break;
	default:
		read_line(data + 1, size - 1);
		break;
	}
	return 0;
}
