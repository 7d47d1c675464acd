/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: tunnel */
/*
 * What a peer of the tunnel may send, by the input's first byte: 0 records before the proof, 1
 * records after it, 2 the HTTP/2 bytes of a proven client, 3 an HTTP/1.1 head, 4 a proof, 5 the
 * HTTP/2 bytes of a laptop that was asked over a reversed tunnel. The second byte is the length of
 * the reads.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/err.h"
#include "tunnel/carrier.h"
#include "tunnel/pipe.h"
#include "tunnel/proof.h"
#include "tunnel/session.h"
#include "tunnel/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Requests under way to a laptop. */
#define ASKED 3

struct rig {
	struct carrier carrier;
	uv_loop_t loop;
	struct pipe *pipe;
	struct h2_session *h2;
	bool closed;
	size_t sent;
	uint64_t offset; /* of the next DATA record */
	struct h2_stream *asked[ASKED];
};

static void carrier_no_start(struct carrier *carrier)
{
	(void)carrier;
}

static size_t carrier_some_room(const struct carrier *carrier)
{
	(void)carrier;
	return 1;
}

static void carrier_count(struct carrier *carrier, const void *data, size_t len)
{
	struct rig *rig = container_of(carrier, struct rig, carrier);

	(void)data;
	rig->sent += len;
}

static void carrier_no_free(struct carrier *carrier)
{
	(void)carrier;
}

static void echo_data(void *user, const uint8_t *data, size_t len)
{
	(void)data;
	h2_stream_consumed(user, len);
}

static ssize_t echo_read(void *user, uint8_t *out, size_t len)
{
	(void)user;
	memset(out, 'x', MIN(len, (size_t)100));
	return (ssize_t)MIN(len, (size_t)100);
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events events = {.on_data = echo_data, .on_read = echo_read};

	(void)user;
	assert(head->method && head->header_count <= 64);
	if (head->path && strcmp(head->path, "/none") == 0)
		return;
	h2_stream_set_events(stream, &events, stream);
	h2_respond(stream, 200, head->headers, 0, !head->path);
}

static void asked_on_head(void *user, const struct h2_head *head)
{
	struct h2_stream **stream = user;

	assert(*stream && head->status >= 200 && head->status <= 999);
}

static void asked_on_data(void *user, const uint8_t *data, size_t len)
{
	struct h2_stream **stream = user;

	(void)data;
	h2_stream_consumed(*stream, len);
	h2_stream_resume(*stream);
}

static void asked_on_close(void *user, uint32_t code)
{
	struct h2_stream **stream = user;

	(void)code;
	assert(*stream);
	*stream = NULL;
}

static void ask(struct rig *rig)
{
	static const struct h2_stream_events events = {
		.on_head = asked_on_head,
		.on_data = asked_on_data,
		.on_read = echo_read,
		.on_close = asked_on_close,
	};
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};

	for (int i = 0; i < ASKED; i++)
		assert(h2_request(rig->h2, &head, &events, &rig->asked[i], &rig->asked[i]) == 0);
	uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void on_failed(void *user, const struct err *err)
{
	struct rig *rig = user;

	assert(err->msg[0]);
	rig->closed = true;
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct proof proof;
	uint8_t nonce[PROOF_NONCE_BYTES];

	(void)user;
	assert(len <= PIPE_CONTROL_MAX_BYTES);
	if (type == PIPE_HELLO && hello_parse(payload, len, nonce) < 0)
		return err_set(err, -1, ERR_INTERNAL, "hello");
	if (type == PIPE_PROOF && proof_parse(payload, len, &proof) < 0)
		return err_set(err, -1, ERR_INTERNAL, "proof");
	return 0;
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct rig *rig = user;

	return rig->h2 ? h2_session_recv(rig->h2, data, len, err) : 0;
}

static void on_writable(void *user)
{
	(void)user;
}

static void on_closed(void *user, const struct err *err)
{
	struct rig *rig = user;

	assert(err->msg[0] && !rig->closed);
	rig->closed = true;
}

/* The bytes as DATA records of the length of one read. */
static void feed_data(struct rig *rig, const uint8_t *data, size_t len)
{
	uint8_t record[PIPE_DATA_HEADER_BYTES + 256] = {
		PIPE_DATA, 0, (uint8_t)((len + 8) >> 8), (uint8_t)(len + 8)};

	for (int i = 0; i < 8; i++)
		record[4 + i] = (uint8_t)(rig->offset >> (56 - 8 * i));
	memcpy(record + PIPE_DATA_HEADER_BYTES, data, len);
	rig->offset += len;
	rig->carrier.events.on_data(rig->carrier.user, record, PIPE_DATA_HEADER_BYTES + len);
}

static void run(uint8_t mode, const uint8_t *data, size_t size, size_t piece)
{
	static const struct carrier_ops ops = {.name = "fuzz",
		.start = carrier_no_start,
		.room = carrier_some_room,
		.send = carrier_count,
		.free = carrier_no_free};
	static const struct pipe_events events = {.on_record = on_record,
		.on_data = on_data,
		.on_writable = on_writable,
		.on_closed = on_closed};
	static const struct h2_session_events h2_events = {
		.on_stream = on_stream, .on_failed = on_failed};
	const struct pipe_config config = {.ping_ms = 0, .silence_ms = 60000};
	struct rig rig = {.carrier.ops = &ops};
	struct err err = ERR_INIT;

	uv_loop_init(&rig.loop);
	rig.pipe = pipe_new(&rig.loop, &rig.carrier, &config, &events, &rig);
	if (mode > 0)
		pipe_open(rig.pipe);
	if (mode == 2 || mode == 5)
		assert(h2_session_new(&rig.loop, rig.pipe, mode == 2 ? H2_SERVER : H2_CLIENT,
			       &h2_events, &rig, &rig.h2, &err) == 0);
	if (mode == 5)
		ask(&rig);
	for (size_t at = 0; at < size && !rig.closed; at += piece) {
		size_t len = MIN(piece, size - at);

		if (mode == 2 || mode == 5) {
			feed_data(&rig, data + at, len);
			uv_run(&rig.loop, UV_RUN_NOWAIT);
		} else {
			rig.carrier.events.on_data(rig.carrier.user, data + at, len);
		}
	}
	h2_session_free(rig.h2);
	pipe_free(rig.pipe);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert(uv_loop_close(&rig.loop) == 0);
}

static void parse(uint8_t mode, const uint8_t *data, size_t size)
{
	struct upgrade_request request;
	struct proof proof;
	uint8_t *copy = malloc(size);
	size_t len;

	assert(copy);
	memcpy(copy, data, size);
	len = upgrade_head_len((const char *)copy, size);
	assert(len <= size);
	if (mode == 3 && len > 0 && upgrade_parse((const char *)copy, len, &request) == 0)
		assert(request.path[0] == '/' && strlen(request.path) < UPGRADE_PATH_MAX &&
			(!request.key[0] || strlen(request.key) == 24));
	if (mode == 4 && proof_parse(copy, size, &proof) == 0)
		assert(proof.session_uid[0] && proof.carrier[0] && proof.reverse == copy[0]);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || data[0] > 5)
		return 0;
	if (data[0] == 3 || data[0] == 4)
		parse(data[0], data + 2, size - 2);
	else
		run(data[0], data + 2, size - 2, (size_t)data[1] + 1);
	return 0;
}
