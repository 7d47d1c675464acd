/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/fixture_pipe.h - a pipe on a carrier in memory, which keeps what is written
 */
#ifndef UNIT_TUNNEL_FIXTURE_PIPE_H
#define UNIT_TUNNEL_FIXTURE_PIPE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/wire.h"
#include "tunnel/carrier.h"
#include "tunnel/pipe.h"

#define DEADLINE_NS 20000000000ull

struct memory {
	struct carrier base;
	uint8_t out[256 * 1024];
	size_t out_len, room;
	unsigned int sends;
};

struct rig {
	uv_loop_t loop;
	struct memory carrier;
	struct pipe *pipe;
	int records, closed, writable;
	uint8_t last_type, data[1024];
	size_t data_len;
	struct err err;
	uint32_t suspect_ms, lost_ms;
	enum pipe_silence silence; /* as the last on_silence() said */
	int silences;
};

static void memory_start(struct carrier *carrier)
{
	(void)carrier;
}

static size_t memory_room(const struct carrier *carrier)
{
	return ((const struct memory *)(const void *)carrier)->room;
}

static void memory_send(struct carrier *carrier, const void *data, size_t len)
{
	struct memory *memory = container_of(carrier, struct memory, base);

	assert_true(memory->out_len + len <= sizeof(memory->out));
	memcpy(memory->out + memory->out_len, data, len);
	memory->out_len += len;
	memory->sends++;
}

static void memory_free(struct carrier *carrier)
{
	(void)carrier;
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct rig *rig = user;

	(void)payload, (void)len, (void)err;
	rig->records++;
	rig->last_type = type;
	return 0;
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct rig *rig = user;

	(void)err;
	if (rig->data_len + len <= sizeof(rig->data))
		memcpy(rig->data + rig->data_len, data, len);
	rig->data_len += len;
	return 0;
}

static void on_writable(void *user)
{
	((struct rig *)user)->writable++;
}

static void on_closed(void *user, const struct err *err)
{
	struct rig *rig = user;

	rig->closed++;
	rig->err = *err;
}

static void on_silence(void *user, enum pipe_silence silence)
{
	struct rig *rig = user;

	assert_int_not_equal(rig->silence, silence);
	rig->silence = silence;
	rig->silences++;
}

/* suspect_ms and lost_ms of the rig are the caller's. */
static void rig_init(struct rig *rig, uint32_t ping_ms, uint32_t silence_ms)
{
	static const struct carrier_ops ops = {
		.name = "memory",
		.start = memory_start,
		.room = memory_room,
		.send = memory_send,
		.free = memory_free,
	};
	static const struct pipe_events events = {.on_record = on_record,
		.on_data = on_data,
		.on_writable = on_writable,
		.on_silence = on_silence,
		.on_closed = on_closed};
	const struct pipe_config config = {ping_ms, silence_ms, rig->lost_ms, rig->suspect_ms};

	*rig = (struct rig){.suspect_ms = 0};
	rig->carrier.base.ops = &ops;
	rig->carrier.room = 1;
	uv_loop_init(&rig->loop);
	rig->pipe = pipe_new(&rig->loop, &rig->carrier.base, &config, &events, rig);
}

static void rig_done(struct rig *rig)
{
	pipe_free(rig->pipe);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
}

static void feed(struct rig *rig, const void *bytes, size_t len)
{
	rig->carrier.base.events.on_data(rig->carrier.base.user, bytes, len);
}

#endif /* UNIT_TUNNEL_FIXTURE_PIPE_H */
