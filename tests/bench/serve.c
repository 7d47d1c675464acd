/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pod's side of scripts/bench: one command line a connection, then bytes. Linked statically, so
 * that it is an image by itself.
 */
#include "pump.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_NS 10000000UL

/* Reads up to and including a line end, byte by byte: nothing behind it is taken. */
static int read_line(int fd, char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		if (read(fd, line + len, 1) != 1)
			return -1;
		if (line[len++] == '\n')
			break;
	}
	line[len] = '\0';
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static void echo(int fd, char *block)
{
	cpu_set_t last;
	ssize_t n;

	CPU_ZERO(&last);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
	(void)sched_setaffinity(0, sizeof(last), &last);
	while ((n = read(fd, block, PUMP_BLOCK)) > 0 && write_all(fd, block, (size_t)n) == 0)
		;
}

/* The command line, after an HTTP/1.1 upgrade if there is one. */
static int read_command(int fd, char *line, size_t size)
{
	static const char upgraded[] =
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pump\r\n\r\n";

	if (read_line(fd, line, size) < 0)
		return -1;
	if (strncmp(line, "GET ", 4) != 0)
		return 0;
	while (strcmp(line, "\r\n") != 0) {
		if (read_line(fd, line, size) < 0)
			return -1;
	}
	return write_all(fd, upgraded, sizeof(upgraded) - 1) < 0 ? -1 : read_line(fd, line, size);
}

static void send_bytes(int fd, char *block, uint64_t n)
{
	for (; n > 0; n -= MIN(n, (uint64_t)PUMP_BLOCK)) {
		if (write_all(fd, block, MIN(n, (uint64_t)PUMP_BLOCK)) < 0)
			return;
	}
}

static void take_bytes(int fd, char *block, uint64_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, block, MIN(n, (uint64_t)PUMP_BLOCK));

		if (got <= 0)
			return;
		n -= (uint64_t)got;
	}
	(void)write_all(fd, "k", 1);
}

/* Reads to the end; says how many bytes there were and when, at most every COUNT_NS. */
static void count_bytes(int fd, char *block)
{
	uint64_t total = 0, said = 0;
	ssize_t n;

	while ((n = read(fd, block, PUMP_BLOCK)) > 0) {
		struct pump_count count;
		uint64_t now = pump_now_ns();

		total += (uint64_t)n;
		if (now - said < COUNT_NS)
			continue;
		said = now;
		count = (struct pump_count){.bytes = htobe64(total), .at_ns = htobe64(now)};
		if (write_all(fd, (char *)&count, sizeof(count)) < 0)
			return;
	}
}

static void serve_one(int fd)
{
	static char block[PUMP_BLOCK];
	char line[4096];

	if (read_command(fd, line, sizeof(line)) < 0)
		return;
	if (line[0] == 'D')
		send_bytes(fd, block, strtoull(line + 1, NULL, 10));
	else if (line[0] == 'U')
		take_bytes(fd, block, strtoull(line + 1, NULL, 10));
	else if (line[0] == 'E')
		echo(fd, block);
	else if (line[0] == 'S')
		count_bytes(fd, block);
}

/* Serves on port of all addresses until killed. */
static int serve(uint16_t port)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0;

	if (listener < 0)
		return -errno;
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(listener, 1024) < 0)
		return -errno;
	/* One process a connection; the kernel reaps them. */
	if (sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT},
		    NULL) < 0)
		return -errno;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0) {
			serve_one(fd);
			_exit(0);
		}
		close(fd);
	}
}

int main(int argc, char **argv)
{
	int r;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: pumpserver PORT\n");
		return 2;
	}
	r = serve((uint16_t)strtoul(argv[1], NULL, 10));
	(void)fprintf(stderr, "pumpserver: %s\n", strerror(-r));
	return 1;
}
