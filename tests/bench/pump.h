/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/pump.h - the peers of scripts/bench: one command line a connection, then bytes
 *
 * "D n\n": the server sends n bytes and closes. "U n\n": it reads n bytes and answers one byte.
 * "E\n": it sends back what it reads. The same follows an HTTP/1.1 upgrade, so that a client can
 * come through services/proxy.
 */
#ifndef BENCH_PUMP_H
#define BENCH_PUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PUMP_BLOCK (256 * 1024)

/* A blocking byte stream: a socket, or a libcurl CONNECT_ONLY connection. */
struct pump_stream {
	ssize_t (*read)(struct pump_stream *stream, void *buf, size_t len);
	ssize_t (*write)(struct pump_stream *stream, const void *buf, size_t len);
	void *handle;
	int fd;
};

/* Runs one measurement ("down", "up": n bytes; "echo": n rounds) and prints a JSON object. 0 or
 * -errno. */
int pump_measure(struct pump_stream *stream, const char *what, uint64_t n);
/* A stream through the API server at this path; see raw.c. NULL with a message on stderr. */
struct pump_stream *raw_open(const char *kubeconfig, const char *path);

#endif /* BENCH_PUMP_H */
