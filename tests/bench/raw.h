/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/raw.h - bytes of an upgraded connection, and what speaks SPDY over them (raw_spdy.c)
 */
#ifndef TESTS_BENCH_RAW_H
#define TESTS_BENCH_RAW_H

#include "pump.h"

/* Before the path: the port-forward is by SPDY instead of WebSocket. */
#define RAW_SPDY         "spdy:"
#define RAW_SPDY_UPGRADE "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"

/* Blocking; -1: the end. */
ssize_t raw_read(struct pump_stream *stream, void *buf, size_t len);
/* 0: nothing is there now. */
ssize_t raw_read_now(struct pump_stream *stream, void *buf, size_t len);
/* 0, or -1. */
int raw_read_exactly(struct pump_stream *stream, uint8_t *buf, size_t len);
int raw_write_all(struct pump_stream *stream, const uint8_t *buf, size_t len);

/* Opens the port's streams; from then on the pump's bytes are those of the data stream. 0, or -1.
 */
int raw_spdy_start(struct pump_stream *stream, uint16_t port);

#endif /* TESTS_BENCH_RAW_H */
