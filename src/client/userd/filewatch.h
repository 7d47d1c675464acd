/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/filewatch.h - tells when a file is written, replaced, or another one behind its link
 *
 * By inotify(7): the file itself, which may be mounted over the one in its folder, the folder that
 * its name is in, and the folder of what a symbolic link leads to. Changes are told once,
 * FILEWATCH_QUIET_MS after the first of a burst; it may look as before by then. Loop thread only.
 */
#ifndef CLIENT_USERD_FILEWATCH_H
#define CLIENT_USERD_FILEWATCH_H

#include <uv.h>

#include "core/attr.h"

struct err;
struct filewatch;

#define FILEWATCH_QUIET_MS 100

/* path: absolute; copied. The file need not exist, its folder must. */
NODISCARD int filewatch_new(uv_loop_t *loop, const char *path, void (*on_change)(void *user),
	void *user, struct filewatch **ret_watch, struct err *err);
void filewatch_free(struct filewatch *watch); /* NULL-safe; no callback follows */

#endif /* CLIENT_USERD_FILEWATCH_H */
