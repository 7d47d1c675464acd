/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/session_priv.h - what session.c (the connection), session_out.c (its sending), stream.c
 * (its streams), head.c and window.c share
 */
#ifndef TUNNEL_SESSION_PRIV_H
#define TUNNEL_SESSION_PRIV_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "tunnel/credit.h"
#include "tunnel/pipe.h"
#include "tunnel/sched.h"
#include "tunnel/session.h"

/* Names and values of one head, with their NULs; more resets the stream. */
#define HEAD_MAX_BYTES (16 * 1024)
#define HEAD_MAX_COUNT 64
/* What a DATA frame has before its bytes (RFC 9113 4.1). */
#define FRAME_HEADER_BYTES 9
/* One DATA frame and its header fill a record. */
#define FRAME_MAX_BYTES (PIPE_DATA_MAX_BYTES - FRAME_HEADER_BYTES)

struct h2_stream {
	struct h2_session *session;
	LIST_ENTRY(h2_stream) entry;
	struct sched_entry sched;
	struct credit credit;
	int32_t id;
	struct h2_stream_events events;
	void *user;
	struct buf head; /* "name\0value\0..." while a head comes in */
	size_t head_count;
	bool head_done; /* the final head was delivered: what follows are trailers */
	bool waiting; /* on_read said H2_READ_AGAIN */
	bool resetting; /* RST_STREAM is queued: bytes of the peer are dropped */
	bool bodyless; /* server: the response ends with its head */
};

LIST_HEAD(h2_stream_list, h2_stream);

struct h2_session {
	nghttp2_session *ng;
	struct pipe *pipe;
	enum h2_role role;
	struct h2_session_events events;
	void *user;
	uv_idle_t idle; /* active while there may be something to send */
	struct h2_stream_list streams;
	size_t stream_count;
	struct sched sched;
	struct credit_pool credit;
	size_t first_window; /* what streams begin with, as the peer was told */
	bool closing;
	bool worn, worn_told; /* the numbers come to an end; on_worn was called */
	bool paused; /* the turn of the loop or the carrier's room ended in a stream's turn */
	size_t sent_bytes; /* in this turn of the loop */
	int32_t frame_stream; /* whose DATA frame is coming in */
	size_t frame_left; /* of its bytes; 0: none that could go past nghttp2 */
	bool conducting; /* they are in the conduit, and what nghttp2 is given is not them */
	bool conducted; /* the frame that nghttp2 is about to send has its bytes in the conduit */
	size_t out_len;
	uint8_t out[PIPE_DATA_HEADER_BYTES + PIPE_DATA_MAX_BYTES + PIPE_DATA_TAIL_BYTES];
};

/* head.c: collects and reads header fields. */
NODISCARD int head_add(struct h2_stream *stream, const uint8_t *name, size_t name_len,
	const uint8_t *value, size_t value_len);
void head_deliver(struct h2_stream *stream);

/* stream.c */
struct h2_stream *stream_new(struct h2_session *session);
void stream_number(struct h2_stream *stream, int32_t id);
void stream_closed(struct h2_stream *stream, uint32_t code); /* tells the owner and forgets it */
void stream_free(struct h2_stream *stream);
ssize_t stream_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *user);

/* session_out.c; the first two are nghttp2's callbacks. */
int session_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *header, size_t len,
	nghttp2_data_source *source, void *user);
ssize_t session_read_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
	int32_t stream_window, uint32_t max_frame, void *user);
void session_schedule(struct h2_session *session);
/* Bytes of a DATA frame that fit behind what is collected, sending that first when it is in the
 * way; 0: not in this turn. */
size_t session_data_room(struct h2_session *session);
/* Where their bytes go. */
uint8_t *session_data_at(struct h2_session *session);

#endif /* TUNNEL_SESSION_PRIV_H */
