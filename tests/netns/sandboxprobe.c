/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandboxprobe CALL - enters the root daemon's sandbox, then makes the named system call
 *
 * Exit status 0: it was let through; killed by SIGSYS: it was not.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/rootd/sandbox.h"
#include "core/err.h"

static int call(const char *name)
{
	int value = 1;

	if (strcmp(name, "open") == 0)
		return open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	if (strcmp(name, "exec") == 0)
		return execl("/bin/true", "true", (char *)NULL);
	if (strcmp(name, "unlink") == 0)
		return unlink("/nonexistent");
	if (strcmp(name, "fork") == 0)
		return fork();
	if (strcmp(name, "raw-socket") == 0)
		return socket(AF_PACKET, SOCK_RAW, 0);
	if (strcmp(name, "unix-socket") == 0)
		return socket(AF_UNIX, SOCK_STREAM, 0);
	if (strcmp(name, "sockopt") == 0)
		return setsockopt(STDIN_FILENO, SOL_SOCKET, SO_BINDTODEVICE, &value, sizeof(value));
	if (strcmp(name, "exec-memory") == 0)
		return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0) == MAP_FAILED
			       ? -1
			       : 0;
	if (strcmp(name, "inet-socket") == 0)
		return socket(AF_INET, SOCK_DGRAM, 0);
	return -1;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	if (argc != 2)
		return EXIT_FAILURE;
	if (sandbox_enter(&err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return EXIT_FAILURE;
	}
	_exit(call(argv[1]) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
