/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/client.h"

#include <errno.h>
#include <stdbool.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/carrier.h"
#include "tunnel/pipe.h"
#include "tunnel/pipe_text.h"
#include "tunnel/proof.h"
#include "tunnel/session.h"

/* WAIT_HELLO -> WAIT_ACCEPT -> READY -> CLOSED; every state may go to CLOSED. */
enum client_state { WAIT_HELLO, WAIT_ACCEPT, READY, CLOSED };

struct tunnel_client {
	uv_loop_t *loop;
	enum client_state state;
	char *session_uid;
	const struct session_key *key;
	struct tunnel_client_events events;
	void *user;
	struct pipe *pipe;
	bool reverse;
	struct h2_session *h2; /* NULL unless READY */
	uv_timer_t deadline;
	bool freed;
};

static void client_closed(struct tunnel_client *tunnel, const struct err *err)
{
	struct h2_session *h2 = TAKE_PTR(tunnel->h2);

	if (tunnel->freed || tunnel->state == CLOSED)
		return;
	tunnel->state = CLOSED;
	uv_timer_stop(&tunnel->deadline);
	h2_session_free(h2);
	/* A stream's on_close may have freed the tunnel. */
	if (!tunnel->freed)
		tunnel->events.on_closed(tunnel->user, err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct tunnel_client *tunnel = container_of(timer, struct tunnel_client, deadline);
	struct err err = ERR_INIT;

	err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
		"the traffic-manager did not finish the handshake within %d ms",
		LIMIT_HANDSHAKE_MS);
	client_closed(tunnel, &err);
}

static void on_h2_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct tunnel_client *tunnel = user;

	tunnel->events.on_stream(tunnel->user, stream, head);
}

static void on_h2_failed(void *user, const struct err *err)
{
	client_closed(user, err);
}

/* No more streams; what there are go on. */
static void client_lost(struct tunnel_client *tunnel, const struct err *err)
{
	if (tunnel->events.on_lost)
		tunnel->events.on_lost(tunnel->user, err);
	else
		client_closed(tunnel, err);
}

static void on_h2_goaway(void *user)
{
	struct err err = ERR_INIT;

	err_set(&err, -ESHUTDOWN, ERR_UNREACHABLE, "the traffic-manager is shutting down");
	client_lost(user, &err);
}

static void on_h2_worn(void *user)
{
	struct tunnel_client *tunnel = user;

	if (tunnel->events.on_worn)
		tunnel->events.on_worn(tunnel->user);
}

static int take_hello(
	struct tunnel_client *tunnel, const uint8_t *payload, size_t len, struct err *err)
{
	uint8_t nonce[PROOF_NONCE_BYTES], proof[PROOF_MAX_BYTES];
	ssize_t n;
	int r = hello_parse(payload, len, nonce);

	if (r == -EPROTONOSUPPORT)
		return err_set(err, r, ERR_UNSUPPORTED,
			"the traffic-manager speaks tunnel version %u, this client %u", payload[0],
			PROOF_VERSION);
	if (r < 0)
		return err_set(err, r, ERR_INTERNAL, "tunnel: malformed HELLO");
	n = proof_format(tunnel->session_uid, pipe_carrier(tunnel->pipe)->name, tunnel->reverse,
		nonce, tunnel->key, proof);
	if (n < 0)
		return err_set_errno(err, (int)n, "sign the proof of the session");
	tunnel->state = WAIT_ACCEPT;
	pipe_send_record(tunnel->pipe, PIPE_PROOF, proof, (size_t)n);
	return 0;
}

static int take_accept(struct tunnel_client *tunnel, struct err *err)
{
	static const struct h2_session_events events = {.on_stream = on_h2_stream,
		.on_goaway = on_h2_goaway,
		.on_worn = on_h2_worn,
		.on_failed = on_h2_failed};
	enum h2_role role = tunnel->reverse ? H2_SERVER : H2_CLIENT;
	int r;

	pipe_open(tunnel->pipe);
	r = h2_session_new(tunnel->loop, tunnel->pipe, role, &events, tunnel, &tunnel->h2, err);
	if (r < 0)
		return r;
	uv_timer_stop(&tunnel->deadline);
	tunnel->state = READY;
	tunnel->events.on_ready(tunnel->user);
	return 0;
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct tunnel_client *tunnel = user;
	char text[PIPE_TEXT_BYTES];

	if (type == PIPE_HELLO && tunnel->state == WAIT_HELLO)
		return take_hello(tunnel, payload, len, err);
	if (type == PIPE_ACCEPT && tunnel->state == WAIT_ACCEPT && len == 0)
		return take_accept(tunnel, err);
	if (type == PIPE_REFUSE && tunnel->state != READY) {
		pipe_text(payload, len, text);
		return err_set(
			err, -EACCES, ERR_AUTH, "the traffic-manager refused the tunnel: %s", text);
	}
	return err_set(err, -EPROTO, ERR_INTERNAL, "tunnel: record %u is not due", type);
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct tunnel_client *tunnel = user;

	return tunnel->h2 ? h2_session_recv(tunnel->h2, data, len, err) : 0;
}

static size_t conduct_due(void *user)
{
	struct tunnel_client *tunnel = user;

	return tunnel->h2 ? h2_session_conduct_due(tunnel->h2) : 0;
}

static int on_conducted(void *user, struct err *err)
{
	struct tunnel_client *tunnel = user;

	return h2_session_conducted(tunnel->h2, err);
}

static void on_writable(void *user)
{
	struct tunnel_client *tunnel = user;

	if (tunnel->h2)
		h2_session_wake(tunnel->h2);
}

static void on_silence(void *user, enum pipe_silence silence)
{
	struct tunnel_client *tunnel = user;
	struct err err = ERR_INIT;

	if (tunnel->freed)
		return;
	if (silence != PIPE_LOST) {
		if (tunnel->events.on_silence)
			tunnel->events.on_silence(tunnel->user, silence == PIPE_SUSPECT);
		return;
	}
	err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE, "the traffic-manager has been silent for %d ms",
		LIMIT_CARRIER_SILENCE_MS);
	client_lost(tunnel, &err);
}

static void on_pipe_closed(void *user, const struct err *err)
{
	client_closed(user, err);
}

struct tunnel_client *tunnel_client_new(uv_loop_t *loop, struct carrier *carrier,
	const struct tunnel_client_config *config, const struct tunnel_client_events *events,
	void *user)
{
	static const struct pipe_events pipe_events = {
		.on_record = on_record,
		.on_data = on_data,
		.conduct_due = conduct_due,
		.on_conducted = on_conducted,
		.on_writable = on_writable,
		.on_silence = on_silence,
		.on_closed = on_pipe_closed,
	};
	const struct pipe_config pipe_config = {.ping_ms = LIMIT_HEARTBEAT_MS,
		.silence_ms = LIMIT_CARRIER_KEEP_MS,
		.lost_ms = LIMIT_CARRIER_SILENCE_MS,
		.suspect_ms = LIMIT_CARRIER_SUSPECT_MS};
	struct tunnel_client *tunnel = XNEW(struct tunnel_client);

	tunnel->loop = loop;
	tunnel->session_uid = xstrdup(config->session_uid);
	tunnel->key = config->key;
	tunnel->reverse = config->reverse;
	tunnel->events = *events;
	tunnel->user = user;
	uv_timer_init(loop, &tunnel->deadline);
	uv_timer_start(&tunnel->deadline, on_deadline, LIMIT_HANDSHAKE_MS, 0);
	tunnel->pipe = pipe_new(loop, carrier, &pipe_config, &pipe_events, tunnel);
	return tunnel;
}

void tunnel_client_set_events(
	struct tunnel_client *tunnel, const struct tunnel_client_events *events, void *user)
{
	tunnel->events = *events;
	tunnel->user = user;
}

void tunnel_client_check(struct tunnel_client *tunnel)
{
	if (tunnel->state == READY)
		pipe_check(tunnel->pipe);
}

struct h2_session *tunnel_client_h2(const struct tunnel_client *tunnel)
{
	return tunnel->reverse ? NULL : tunnel->h2;
}

size_t tunnel_client_streams(const struct tunnel_client *tunnel)
{
	return tunnel->h2 ? h2_session_streams(tunnel->h2) : 0;
}

uint32_t tunnel_client_rtt_us(const struct tunnel_client *tunnel)
{
	return pipe_rtt_us(tunnel->pipe);
}

const char *tunnel_client_carrier(const struct tunnel_client *tunnel)
{
	return pipe_carrier(tunnel->pipe)->name;
}

static void on_deadline_closed(uv_handle_t *handle)
{
	struct tunnel_client *tunnel = container_of(handle, struct tunnel_client, deadline);

	free(tunnel->session_uid);
	free(tunnel);
}

void tunnel_client_free(struct tunnel_client *tunnel)
{
	static const char reason[] = "the client is done";

	if (!tunnel || tunnel->freed)
		return;
	tunnel->freed = true;
	h2_session_free(TAKE_PTR(tunnel->h2));
	if (tunnel->state != CLOSED)
		pipe_send_record(tunnel->pipe, PIPE_CLOSE, reason, sizeof(reason) - 1);
	pipe_free(tunnel->pipe);
	uv_close((uv_handle_t *)&tunnel->deadline, on_deadline_closed);
}
