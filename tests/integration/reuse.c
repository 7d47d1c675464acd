/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the same four numbers, one after the other, as fast as they go.
 *
 * reuse serve ADDRESS PORT: echoes the first 8 bytes of each connection. Their first byte says who
 *   ends it: 's' the server, by a FIN, anything else the client.
 * reuse connect ADDRESS PORT SECONDS FIRST COUNT HOW: COUNT clients, each with a source port of its
 *   own from FIRST on. HOW: 's' the server ends, 'c' the client, 'r' the client by a RST, 'v' the
 *   client vanishes: its kernel forgets the connection and tells nobody. A line of JSON says what
 * came of them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS     48
#define BACKLOG     4096
#define TOKEN_BYTES 8
#define PATIENCE_S  10

enum outcome { OK, REFUSED, TIMED_OUT, RESET, MIXED_UP, OTHER, OUTCOME_COUNT };
static const char *const names[] = {"ok", "refused", "timed_out", "reset", "mixed_up", "other"};

struct counts {
	unsigned long of[OUTCOME_COUNT];
	int last_error;
};

static struct sockaddr_in place(const char *address, const char *port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
		exit(2);
	return at;
}

static void echo_one(int fd)
{
	char token[TOKEN_BYTES];
	ssize_t n = recv(fd, token, sizeof(token), MSG_WAITALL);

	if (n == TOKEN_BYTES && send(fd, token, sizeof(token), MSG_NOSIGNAL) == n &&
		token[0] != 's')
		(void)!recv(fd, token, 1, 0);
	close(fd);
}

static int serve(const struct sockaddr_in *at)
{
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 || listen(fd, BACKLOG) < 0) {
		perror("listen");
		return 1;
	}
	(void)!write(STDOUT_FILENO, "ready\n", 6);
	for (int i = 1; i < WORKERS; i++) {
		if (fork() == 0)
			break;
	}
	for (;;) {
		int conn = accept(fd, NULL, NULL);

		if (conn >= 0)
			echo_one(conn);
	}
}

static enum outcome meaning(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return REFUSED;
	case ETIMEDOUT:
	case EAGAIN:
	case EINPROGRESS:
		return TIMED_OUT;
	case ECONNRESET:
	case EPIPE:
		return RESET;
	default:
		return OTHER;
	}
}

/* errno says why it was not OK. */
static enum outcome talk(int fd, const char *token)
{
	char got[TOKEN_BYTES + 1];
	ssize_t n = send(fd, token, TOKEN_BYTES, MSG_NOSIGNAL);

	if (n == TOKEN_BYTES)
		n = recv(fd, got, TOKEN_BYTES, MSG_WAITALL);
	if (n < 0)
		return meaning(errno);
	if (n < TOKEN_BYTES || memcmp(got, token, TOKEN_BYTES) != 0)
		return n == 0 ? RESET : MIXED_UP;
	if (token[0] == 's' && (n = recv(fd, got, sizeof(got), 0)) != 0)
		return n < 0 ? meaning(errno) : MIXED_UP;
	return OK;
}

/* -1: this kernel is not done with the last one of these numbers yet, which is nobody's fault. */
static int once(const struct sockaddr_in *to, unsigned int port, const char *token)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const struct linger reset = {.l_onoff = 1};
	const int on = 1;
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), r;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
		close(fd);
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		r = errno == EADDRNOTAVAIL ? -1 : (int)meaning(errno);
	else
		r = (int)talk(fd, token);
	if (token[0] == 'r')
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (token[0] == 'v' && setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		exit(2);
	if (r > 0)
		r |= errno << 8;
	close(fd);
	return r;
}

static void client(const struct sockaddr_in *to, unsigned int port, char how, time_t seconds,
	struct counts *counts)
{
	time_t end = time(NULL) + seconds;

	for (unsigned int number = 0; time(NULL) < end; number++) {
		char token[TOKEN_BYTES + 1];
		int r;

		(void)snprintf(
			token, sizeof(token), "%c%02x%05x", how, port & 0xff, number & 0xfffff);
		r = once(to, port, token);
		if (r < 0) {
			usleep(200);
			continue;
		}
		counts->of[r & 0xff]++;
		if (r > 0)
			counts->last_error = r >> 8;
	}
}

static int connect_all(const struct sockaddr_in *to, time_t seconds, unsigned int first,
	unsigned int count, char how)
{
	struct counts *all = mmap(NULL, (count + 1) * sizeof(*all), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (unsigned int i = 0; i < count; i++) {
		if (fork() == 0) {
			client(to, first + i, how, seconds, &all[i]);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	for (unsigned int i = 0; i < count; i++) {
		for (int k = 0; k < OUTCOME_COUNT; k++)
			all[count].of[k] += all[i].of[k];
		if (all[i].last_error)
			all[count].last_error = all[i].last_error;
	}
	for (int k = 0; k < OUTCOME_COUNT; k++)
		printf("%s\"%s\": %lu", k ? ", " : "{", names[k], all[count].of[k]);
	printf(", \"last_error\": \"%s\"}\n", strerror(all[count].last_error));
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;

	if (argc < 4)
		return 2;
	at = place(argv[2], argv[3]);
	if (strcmp(argv[1], "serve") == 0)
		return serve(&at);
	if (argc != 8)
		return 2;
	return connect_all(&at, atoi(argv[4]), (unsigned int)atoi(argv[5]),
		(unsigned int)atoi(argv[6]), argv[7][0]);
}
