/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dial's life: WAIT (CONNECT sent) -> ACCEPT (200; the relay holds the stream and waits for the
 * socket that the laptop's kernel makes) -> RELAY. In WAIT the stream's events are the dial's, from
 * ACCEPT on the relay's. A dial is found by its flow's id until it relays; then only the list of
 * all holds it.
 */
#include "client/userd/dial.h"

#include <errno.h>
#include <sys/socket.h>
/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/log.h"
#include "net/socket.h"
#include "tunnel/h2.h"
#include "tunnel/relay.h"

struct dial {
	struct dialer *dialer; /* NULL once the dialer is freed */
	flow_id_t id;
	struct h2_stream *stream; /* in WAIT */
	struct relay *relay; /* from ACCEPT on; NULL in ACCEPT: the stream has gone */
	bool relaying;
	UT_hash_handle hh;
};

struct dialer {
	uv_loop_t *loop;
	const struct uplink *uplink;
	struct flow_engine *engine;
	struct dial *dials; /* by flow id */
	struct dial_counters counters;
};

enum flow_verdict dial_verdict_of(enum reason reason)
{
	switch (reason) {
	case REASON_REFUSED:
	case REASON_INTERNAL:
		return FLOW_REFUSED;
	case REASON_HOST_UNREACHABLE:
	case REASON_NAME_NOT_FOUND:
		return FLOW_HOST_UNREACHABLE;
	case REASON_NET_UNREACHABLE:
		return FLOW_NET_UNREACHABLE;
	case REASON_FORBIDDEN:
		return FLOW_PROHIBITED;
	default:
		return FLOW_SILENT;
	}
}

enum flow_verdict dial_verdict(const struct h2_head *head)
{
	const char *name = h2_head_get(head, REASON_HEADER);

	/* A status alone says nothing of the target. */
	return name ? dial_verdict_of(reason_parse(name)) : FLOW_SILENT;
}

static void free_dial(struct dial *dial)
{
	if (dial->dialer) {
		HASH_DEL(dial->dialer->dials, dial);
		dial->dialer->counters.active--;
	}
	free(dial);
}

/* The flow hears how it went; a failed one is forgotten. */
static void answer(struct dial *dial, enum flow_verdict verdict)
{
	struct dialer *dialer = dial->dialer;
	flow_id_t id = dial->id;

	if (verdict == FLOW_OPENED) {
		dialer->counters.opened++;
	} else {
		dialer->counters.failed++;
		free_dial(dial);
	}
	flow_tcp_answer(dialer->engine, id, verdict);
}

/* In WAIT: the stream goes on without a listener. */
static void drop_stream(struct dial *dial)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = TAKE_PTR(dial->stream);

	h2_stream_set_events(stream, &none, NULL);
	h2_stream_reset(stream, UPLINK_CANCEL);
}

/* In ACCEPT: the stream has ended before there was a socket. The relay frees itself. */
static void on_relay_cancel(void *user)
{
	struct dial *dial = user;

	dial->relay = NULL;
}

static void on_head(void *user, const struct h2_head *head)
{
	struct dial *dial = user;
	struct h2_stream *stream = dial->stream;

	if (head->status != 200) {
		drop_stream(dial);
		answer(dial, dial_verdict(head));
		return;
	}
	dial->stream = NULL;
	dial->relay = relay_new(dial->dialer->loop);
	relay_set_stream(dial->relay, stream);
	relay_set_cancel(dial->relay, on_relay_cancel, dial);
	h2_stream_set_events(stream, &relay_events, dial->relay);
	answer(dial, FLOW_OPENED);
}

/* Bytes go out only after the answer, by the relay. */
static ssize_t on_read(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct dial *dial = user;

	/* No answer: the tunnel was lost. The application's kernel will ask again. */
	dial->stream = NULL;
	answer(dial, FLOW_SILENT);
}

void dialer_open(struct dialer *dialer, flow_id_t id, const struct ip_endpoint *dst)
{
	static const struct h2_stream_events events = {
		.on_head = on_head, .on_read = on_read, .on_close = on_close};
	char authority[ADDR_TEXT_BYTES];
	const struct h2_head head = {
		.method = "CONNECT", .authority = ip_endpoint_format(dst, authority)};
	struct dial *dial;
	int r = -ENOTCONN;

	/* Nobody can listen there. */
	if (dst->port == 0) {
		dialer->counters.failed++;
		flow_tcp_answer(dialer->engine, id, FLOW_REFUSED);
		return;
	}
	dial = XNEW(struct dial);
	if (dialer->uplink->h2)
		r = h2_request(dialer->uplink->h2, &head, &events, dial, &dial->stream);
	if (r < 0) {
		free(dial);
		dialer->counters.failed++;
		flow_tcp_answer(dialer->engine, id, FLOW_SILENT);
		return;
	}
	dial->dialer = dialer;
	dial->id = id;
	HASH_ADD(hh, dialer->dials, id, sizeof(dial->id), dial);
	dialer->counters.active++;
}

static struct dial *find(struct dialer *dialer, flow_id_t id)
{
	struct dial *dial = NULL;

	HASH_FIND(hh, dialer->dials, &id, sizeof(id), dial);
	return dial;
}

/* Ends whatever the dial holds; with a started relay its on_done follows and frees the dial. */
static void abort_dial(struct dial *dial)
{
	if (dial->relaying) {
		relay_abort(dial->relay);
		return;
	}
	if (dial->stream)
		drop_stream(dial);
	if (dial->relay)
		relay_abort(TAKE_PTR(dial->relay));
	free_dial(dial);
}

void dialer_cancelled(struct dialer *dialer, flow_id_t id)
{
	struct dial *dial = find(dialer, id);

	if (dial && !dial->relaying)
		abort_dial(dial);
}

static void on_done(void *user, const struct relay_stats *stats)
{
	struct dial *dial = user;

	if (dial->dialer) {
		dial->dialer->counters.bytes_out += stats->bytes_in;
		dial->dialer->counters.bytes_in += stats->bytes_out;
	}
	free_dial(dial);
}

void dialer_established(struct dialer *dialer, flow_id_t id, int fd)
{
	struct dial *dial = find(dialer, id);

	if (!dial || !dial->relay || dial->relaying) {
		socket_reset(fd);
		if (dial && !dial->relaying)
			abort_dial(dial);
		return;
	}
	dial->relaying = true;
	if (relay_start(dial->relay, fd, on_done, dial) < 0)
		free_dial(dial);
}

struct dialer *dialer_new(uv_loop_t *loop, const struct uplink *uplink)
{
	struct dialer *dialer = XNEW(struct dialer);

	dialer->loop = loop;
	dialer->uplink = uplink;
	return dialer;
}

void dialer_set_engine(struct dialer *dialer, struct flow_engine *engine)
{
	dialer->engine = engine;
}

const struct dial_counters *dialer_counters(const struct dialer *dialer)
{
	return &dialer->counters;
}

void dialer_free(struct dialer *dialer)
{
	struct dial *dial, *next;

	if (!dialer)
		return;
	HASH_ITER (hh, dialer->dials, dial, next)
		abort_dial(dial);
	free(dialer);
}
