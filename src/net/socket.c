/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket.h"

#include <sys/socket.h>
#include <unistd.h>

void socket_reset(int fd)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}
