/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/pump.h - the peers of scripts/bench: one command line a connection, then bytes
 *
 * "D n\n": the server sends n bytes and closes. "U n\n": it reads n bytes and answers one byte.
 * "E\n": it sends back what it reads. "S\n": it reads to the end and says now and then how many
 * bytes there were (struct pump_count). The same follows an HTTP/1.1 upgrade, so that a client can
 * come through services/proxy.
 *
 * Who asks small questions stays on the first processor and who answers them on the last one: where
 * the scheduler puts both on one a round trip costs a tenth, and whether it does is chance.
 */
#ifndef BENCH_PUMP_H
#define BENCH_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PUMP_BLOCK (256 * 1024)

/* How many bytes had come at this time of CLOCK_MONOTONIC, which both ends share; big-endian. A
 * client that is blocked in a write reads it late, and the rate between two is exact all the same.
 */
struct pump_count {
	uint64_t bytes, at_ns;
};

/* A blocking byte stream: a socket, or a libcurl CONNECT_ONLY connection. */
struct pump_stream {
	ssize_t (*read)(struct pump_stream *stream, void *buf, size_t len);
	/* What is there now; 0: nothing yet; -1: the end. */
	ssize_t (*read_now)(struct pump_stream *stream, void *buf, size_t len);
	ssize_t (*write)(struct pump_stream *stream, const void *buf, size_t len);
	void *handle;
	int fd;
	/* Of a port-forward: what is left of the frame being read, and (WebSocket) which channels
	 * have sent their port. */
	uint64_t frame_left;
	unsigned int ports_seen;
};

/* Where a stream leads: HOST and PORT, or KUBECONFIG and PATH. */
struct pump_target {
	struct pump_stream *(*open)(const char *a, const char *b);
	const char *a, *b;
};

/* Bulk flows, and beside them one connection of small requests. */
struct pump_load {
	bool up;
	unsigned int flows, stalled; /* stalled: downloads that nobody reads */
	double seconds, warm_seconds;
};

double pump_now(void);
static inline uint64_t pump_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
int pump_write_all(struct pump_stream *stream, const void *data, size_t len);
/* Runs one measurement ("down", "up": n bytes; "echo": n rounds) and prints a JSON object. 0 or
 * -errno. */
int pump_measure(struct pump_stream *stream, const char *what, uint64_t n);
/* Runs it and prints one JSON object: the sum of the flows, and the small requests' times. */
int pump_load_run(const struct pump_target *target, const struct pump_load *load);
/* A stream through the API server at this path, which may be a pod's portforward; see raw.c. NULL
 * with a message on stderr. */
struct pump_stream *raw_open(const char *kubeconfig, const char *path);

#endif /* BENCH_PUMP_H */
