/* SPDX-License-Identifier: Apache-2.0 */
#include "pump.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

double pump_now(void)
{
	return (double)pump_now_ns() / 1e9;
}

int pump_write_all(struct pump_stream *stream, const void *data, size_t len)
{
	const char *pos = data;

	while (len > 0) {
		ssize_t n = stream->write(stream, pos, len);

		if (n <= 0)
			return -EPIPE;
		pos += n;
		len -= (size_t)n;
	}
	return 0;
}

static int measure_down(struct pump_stream *stream, uint64_t n, char *block)
{
	while (n > 0) {
		ssize_t got = stream->read(stream, block, n < PUMP_BLOCK ? (size_t)n : PUMP_BLOCK);

		if (got <= 0)
			return -EPIPE;
		n -= (uint64_t)got;
	}
	return 0;
}

static int measure_up(struct pump_stream *stream, uint64_t n, char *block)
{
	for (uint64_t left = n; left > 0; left -= left < PUMP_BLOCK ? left : PUMP_BLOCK) {
		if (pump_write_all(stream, block, left < PUMP_BLOCK ? (size_t)left : PUMP_BLOCK) <
			0)
			return -EPIPE;
	}
	return stream->read(stream, block, 1) == 1 ? 0 : -EPIPE;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure_echo(struct pump_stream *stream, uint64_t n)
{
	double *rounds = calloc(n ? n : 1, sizeof(*rounds));
	double begin = pump_now();
	char byte = 'x';
	int r = 0;

	for (uint64_t i = 0; rounds && i < n && r == 0; i++) {
		double start = pump_now();

		if (stream->write(stream, &byte, 1) != 1 || stream->read(stream, &byte, 1) != 1)
			r = -EPIPE;
		rounds[i] = pump_now() - start;
	}
	if (r == 0 && rounds && n > 0) {
		double total = pump_now() - begin;

		qsort(rounds, n, sizeof(*rounds), by_value);
		(void)printf("{\"rounds\": %" PRIu64
			     ", \"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
			n, (double)n / total, rounds[n / 2] * 1e6, rounds[n * 99 / 100] * 1e6);
	}
	free(rounds);
	return r;
}

int pump_measure(struct pump_stream *stream, const char *what, uint64_t n)
{
	static char block[PUMP_BLOCK];
	char line[64];
	double start = pump_now();
	int r = -EINVAL;

	(void)snprintf(line, sizeof(line), "%c %" PRIu64 "\n", what[0] - 'a' + 'A', n);
	if (pump_write_all(stream, line, strlen(line)) < 0)
		return -EPIPE;
	if (strcmp(what, "echo") == 0)
		r = measure_echo(stream, n);
	else if (strcmp(what, "down") == 0)
		r = measure_down(stream, n, block);
	else if (strcmp(what, "up") == 0)
		r = measure_up(stream, n, block);
	if (r == 0 && strcmp(what, "echo") != 0)
		(void)printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.4f, \"mb_per_s\": %.1f}\n", n,
			pump_now() - start, (double)n / 1e6 / (pump_now() - start));
	return r;
}

static ssize_t tcp_read(struct pump_stream *stream, void *buf, size_t len)
{
	return read(stream->fd, buf, len);
}

static ssize_t tcp_read_now(struct pump_stream *stream, void *buf, size_t len)
{
	ssize_t n = recv(stream->fd, buf, len, MSG_DONTWAIT);

	if (n > 0)
		return n;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

static ssize_t tcp_write(struct pump_stream *stream, const void *buf, size_t len)
{
	return write(stream->fd, buf, len);
}

static int tcp_open(const char *host, const char *port, struct pump_stream *ret_stream)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	int one = 1, fd = -1;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -ENOENT;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
		int r = -errno;

		freeaddrinfo(found);
		return r;
	}
	freeaddrinfo(found);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_stream = (struct pump_stream){
		.read = tcp_read, .read_now = tcp_read_now, .write = tcp_write, .fd = fd};
	return 0;
}

static struct pump_stream *tcp_new(const char *host, const char *port)
{
	struct pump_stream *stream = calloc(1, sizeof(*stream));
	int r = stream ? tcp_open(host, port, stream) : -ENOMEM;

	if (r == 0)
		return stream;
	(void)fprintf(stderr, "benchpump: %s port %s: %s\n", host, port, strerror(-r));
	free(stream);
	return NULL;
}

/* n times: connect, one byte there and back, close. */
static int measure_connect(const char *host, const char *port, uint64_t n)
{
	double *rounds = calloc(n ? n : 1, sizeof(*rounds)), begin = pump_now();
	int r = rounds && n > 0 ? 0 : -EINVAL;

	for (uint64_t i = 0; i < n && r == 0; i++) {
		struct pump_stream stream = {.fd = -1};
		double start = pump_now();
		char byte = 'x';

		r = tcp_open(host, port, &stream);
		if (r == 0 && (pump_write_all(&stream, "E\nx", 3) < 0 ||
				      tcp_read(&stream, &byte, 1) != 1))
			r = -EPIPE;
		rounds[i] = pump_now() - start;
		if (stream.fd >= 0)
			close(stream.fd);
	}
	if (r == 0) {
		double total = pump_now() - begin;

		qsort(rounds, n, sizeof(*rounds), by_value);
		(void)printf("{\"rounds\": %" PRIu64
			     ", \"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
			n, (double)n / total, rounds[n / 2] * 1e6, rounds[n * 99 / 100] * 1e6);
	}
	free(rounds);
	return r;
}

static int usage(void)
{
	(void)fprintf(stderr, "usage: benchpump tcp HOST PORT WHAT\n"
			      "       benchpump raw KUBECONFIG PATH WHAT\n"
			      "WHAT:  down|up BYTES, echo ROUNDS, connect ROUNDS (tcp only)\n"
			      "       load up|down FLOWS SECONDS WARM_SECONDS STALLED\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct pump_target target;
	struct pump_stream *stream = NULL;
	int r = -EIO;

	if (argc < 6 || (strcmp(argv[1], "tcp") != 0 && strcmp(argv[1], "raw") != 0))
		return usage();
	target = (struct pump_target){.open = strcmp(argv[1], "tcp") == 0 ? tcp_new : raw_open,
		.a = argv[2],
		.b = argv[3]};
	if (strcmp(argv[4], "load") == 0 && argc == 10) {
		const struct pump_load load = {.up = strcmp(argv[5], "up") == 0,
			.flows = (unsigned int)strtoul(argv[6], NULL, 10),
			.seconds = strtod(argv[7], NULL),
			.warm_seconds = strtod(argv[8], NULL),
			.stalled = (unsigned int)strtoul(argv[9], NULL, 10)};

		r = pump_load_run(&target, &load);
	} else if (argc != 6) {
		return usage();
	} else if (strcmp(argv[4], "connect") == 0) {
		r = measure_connect(argv[2], argv[3], strtoull(argv[5], NULL, 10));
	} else {
		stream = target.open(target.a, target.b);
		if (stream)
			r = pump_measure(stream, argv[4], strtoull(argv[5], NULL, 10));
	}
	if (r < 0)
		(void)fprintf(stderr, "benchpump: %s\n", strerror(-r));
	free(stream);
	return r < 0;
}
