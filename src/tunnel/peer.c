/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/peer.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "tunnel/peer_priv.h"
#include "tunnel/pipe.h"
#include "tunnel/session.h"

/* A Session that was just made may reach the manager's watch after its proof: asked again so often
 * for so long. */
#define LOOKUP_RETRY_MS 20
#define LOOKUP_TRIES    30
/* The peer sends PINGs; the manager only notices when they stay away. One that opens streams itself
 * is waited for as long as it waits: they go on when the path is back. */
#define PEER_SILENCE_MS (3 * LIMIT_CARRIER_SILENCE_MS)
/* One text for an unknown Session and a wrong signature: a stranger learns nothing of Sessions. */
#define REFUSAL "no such session, or not its key"

struct tunnel_peer *peer_from_link(struct peer_link *link)
{
	return container_of(link, struct tunnel_peer, link);
}

static void peer_free_if_closed(struct tunnel_peer *peer)
{
	if (--peer->open_handles > 0)
		return;
	buf_done(&peer->in);
	free(peer);
}

static void on_poll_closed(uv_handle_t *handle)
{
	peer_free_if_closed(container_of(handle, struct tunnel_peer, poll));
}

static void on_deadline_closed(uv_handle_t *handle)
{
	peer_free_if_closed(container_of(handle, struct tunnel_peer, deadline));
}

static void on_retry_closed(uv_handle_t *handle)
{
	peer_free_if_closed(container_of(handle, struct tunnel_peer, retry));
}

static void leave_list(struct tunnel_peer *peer)
{
	struct tunnel_server *server = peer->server;

	if (peer->state == PROVEN) {
		TAILQ_REMOVE(&server->proven, &peer->link, entry);
	} else {
		TAILQ_REMOVE(&server->handshakes, &peer->link, entry);
		server->handshake_count--;
	}
}

void peer_end(struct tunnel_peer *peer, const char *reason)
{
	struct tunnel_server *server = peer->server;
	bool proven = peer->state == PROVEN;

	if (peer->state == GONE)
		return;
	leave_list(peer);
	peer->state = GONE;
	h2_session_free(TAKE_PTR(peer->h2));
	if (proven) {
		pipe_send_record(peer->pipe, PIPE_CLOSE, reason,
			MIN(strlen(reason), (size_t)PIPE_CONTROL_MAX_BYTES));
		server->events.on_peer_gone(server->user, peer);
	}
	pipe_free(peer->pipe);
	if (!uv_is_closing((uv_handle_t *)&peer->poll))
		uv_close((uv_handle_t *)&peer->poll, on_poll_closed);
	uv_close((uv_handle_t *)&peer->deadline, on_deadline_closed);
	uv_close((uv_handle_t *)&peer->retry, on_retry_closed);
	if (peer->fd >= 0) {
		(void)shutdown(peer->fd, SHUT_WR);
		close(peer->fd);
	}
}

void peer_leave(struct tunnel_peer *peer)
{
	h2_session_goaway(peer->h2);
}

static void on_deadline(uv_timer_t *timer)
{
	peer_end(container_of(timer, struct tunnel_peer, deadline), "");
}

static void on_h2_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct tunnel_peer *peer = user;

	peer->server->events.on_stream(peer->server->user, peer, stream, head);
}

static void on_h2_failed(void *user, const struct err *err)
{
	struct tunnel_peer *peer = user;

	log_info("peer lost", "session=%s why=\"%s\"", peer->proof.session_uid, err->msg);
	peer_end(peer, err->msg);
}

static int accept_proof(struct tunnel_peer *peer, struct err *err)
{
	static const struct h2_session_events events = {
		.on_stream = on_h2_stream, .on_failed = on_h2_failed};
	enum h2_role role = peer->proof.reverse ? H2_CLIENT : H2_SERVER;
	struct tunnel_server *server = peer->server;
	int r;

	uv_timer_stop(&peer->deadline);
	pipe_send_record(peer->pipe, PIPE_ACCEPT, NULL, 0);
	pipe_open(peer->pipe);
	r = h2_session_new(server->loop, peer->pipe, role, &events, peer, &peer->h2, err);
	if (r < 0)
		return r;
	if (!peer->proof.reverse)
		pipe_set_silence(peer->pipe, LIMIT_CARRIER_KEEP_MS);
	leave_list(peer);
	peer->state = PROVEN;
	TAILQ_INSERT_TAIL(&server->proven, &peer->link, entry);
	server->events.on_peer(server->user, peer);
	return 0;
}

static void on_retry(uv_timer_t *timer);

/* 0: accepted, or to be decided by the next try. */
static int check_proof(struct tunnel_peer *peer, struct err *err)
{
	struct tunnel_server *server = peer->server;
	uint8_t public_key[SESSION_KEY_BYTES];
	int r = server->events.lookup(server->user, peer->proof.session_uid, public_key);

	if (r == -ENOENT && peer->tries++ < LOOKUP_TRIES) {
		uv_timer_start(&peer->retry, on_retry, LOOKUP_RETRY_MS, 0);
		return 0;
	}
	if (r == 0 && proof_verify(&peer->proof, peer->nonce, public_key))
		return accept_proof(peer, err);
	pipe_send_record(peer->pipe, PIPE_REFUSE, REFUSAL, sizeof(REFUSAL) - 1);
	return err_set(err, -EACCES, ERR_AUTH, "proof refused");
}

static void on_retry(uv_timer_t *timer)
{
	struct tunnel_peer *peer = container_of(timer, struct tunnel_peer, retry);
	struct err err = ERR_INIT;

	if (check_proof(peer, &err) < 0)
		peer_end(peer, err.msg);
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct tunnel_peer *peer = user;

	if (type != PIPE_PROOF || peer->has_proof)
		return err_set(err, -EPROTO, ERR_INTERNAL, "record %u is not due", type);
	if (proof_parse(payload, len, &peer->proof) < 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "malformed proof");
	peer->has_proof = true;
	return check_proof(peer, err);
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct tunnel_peer *peer = user;

	return peer->h2 ? h2_session_recv(peer->h2, data, len, err) : 0;
}

static size_t conduct_due(void *user)
{
	struct tunnel_peer *peer = user;

	return peer->h2 ? h2_session_conduct_due(peer->h2) : 0;
}

static int on_conducted(void *user, struct err *err)
{
	struct tunnel_peer *peer = user;

	return h2_session_conducted(peer->h2, err);
}

static void on_writable(void *user)
{
	struct tunnel_peer *peer = user;

	if (peer->h2)
		h2_session_wake(peer->h2);
}

static void on_pipe_closed(void *user, const struct err *err)
{
	struct tunnel_peer *peer = user;

	if (peer->state == PROVEN)
		log_info("peer gone", "session=%s why=\"%s\"", peer->proof.session_uid, err->msg);
	else
		log_debug("handshake failed", "why=\"%s\"", err->msg);
	peer_end(peer, err->msg);
}

void peer_start_pipe(struct tunnel_peer *peer, enum socket_framing framing)
{
	static const struct pipe_events events = {
		.on_record = on_record,
		.on_data = on_data,
		.conduct_due = conduct_due,
		.on_conducted = on_conducted,
		.on_writable = on_writable,
		.on_closed = on_pipe_closed,
	};
	const struct pipe_config config = {.ping_ms = 0, .silence_ms = PEER_SILENCE_MS};
	uint8_t hello[PROOF_HELLO_BYTES];

	if (RAND_bytes(peer->nonce, sizeof(peer->nonce)) != 1) {
		log_error("no random bytes", "source=openssl");
		peer_end(peer, "");
		return;
	}
	peer->state = PROVING;
	uv_close((uv_handle_t *)&peer->poll, on_poll_closed);
	peer->pipe = pipe_new(peer->server->loop,
		socket_carrier_new(peer->server->loop, take_fd(&peer->fd), framing), &config,
		&events, peer);
	hello_format(peer->nonce, hello);
	pipe_send_record(peer->pipe, PIPE_HELLO, hello, sizeof(hello));
}

void peer_new(struct tunnel_server *server, int fd, const struct ip_addr *source)
{
	struct tunnel_peer *peer = XNEW(struct tunnel_peer);

	peer->server = server;
	peer->fd = fd;
	peer->link.source = *source;
	peer->open_handles = 3;
	buf_init(&peer->in, LIMIT_HTTP_HEAD_BYTES);
	uv_timer_init(server->loop, &peer->deadline);
	uv_timer_init(server->loop, &peer->retry);
	uv_poll_init(server->loop, &peer->poll, fd);
	TAILQ_INSERT_TAIL(&server->handshakes, &peer->link, entry);
	server->handshake_count++;
	uv_timer_start(&peer->deadline, on_deadline, LIMIT_HANDSHAKE_MS, 0);
	peer_sniff(peer);
}

const char *tunnel_peer_session_uid(const struct tunnel_peer *peer)
{
	return peer->proof.session_uid;
}

struct h2_session *tunnel_peer_h2(const struct tunnel_peer *peer)
{
	return peer->proof.reverse ? peer->h2 : NULL;
}

uint64_t tunnel_peer_heard_ms(const struct tunnel_peer *peer)
{
	return pipe_heard_ms(peer->pipe);
}

const char *tunnel_peer_carrier(const struct tunnel_peer *peer)
{
	return peer->proof.carrier;
}

void *tunnel_peer_get_user(const struct tunnel_peer *peer)
{
	return peer->user;
}

void tunnel_peer_set_user(struct tunnel_peer *peer, void *user)
{
	peer->user = user;
}

void tunnel_peer_close(struct tunnel_peer *peer, const char *reason)
{
	peer_end(peer, reason);
}
