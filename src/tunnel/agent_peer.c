/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/agent_peer.h"

#include <errno.h>
#include <openssl/x509.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "tunnel/pipe.h"
#include "tunnel/session.h"
#include "tunnel/tls_carrier.h"

/* The agent sends PINGs; the manager only notices when they stay away. */
#define PEER_SILENCE_MS (3 * LIMIT_CARRIER_SILENCE_MS)

static void on_deadline_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct agent_peer, deadline));
}

static void leave_list(struct agent_peer *peer)
{
	struct agent_server *server = peer->server;

	if (peer->state == AGENT_PROVEN) {
		TAILQ_REMOVE(&server->proven, peer, entry);
	} else {
		TAILQ_REMOVE(&server->handshakes, peer, entry);
		server->handshake_count--;
	}
}

void agent_peer_end(struct agent_peer *peer, const char *reason)
{
	struct agent_server *server = peer->server;
	bool proven = peer->state == AGENT_PROVEN;

	if (peer->state == AGENT_GONE)
		return;
	leave_list(peer);
	peer->state = AGENT_GONE;
	h2_session_free(TAKE_PTR(peer->h2));
	if (proven) {
		pipe_send_record(peer->pipe, PIPE_CLOSE, reason,
			MIN(strlen(reason), (size_t)PIPE_CONTROL_MAX_BYTES));
		server->events.on_agent_gone(server->user, peer);
	} else if (!peer->refused) {
		/* An agent takes TLS's close for a refusal, and would give up. */
		tls_carrier_abort(peer->carrier);
	}
	pipe_free(peer->pipe);
	uv_close((uv_handle_t *)&peer->deadline, on_deadline_closed);
}

static void on_deadline(uv_timer_t *timer)
{
	struct agent_peer *peer = container_of(timer, struct agent_peer, deadline);

	agent_server_refused(peer->server, &peer->source, "no JOIN in time");
	agent_peer_end(peer, "");
}

static void on_h2_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct agent_peer *peer = user;

	peer->server->events.on_stream(peer->server->user, peer, stream, head);
}

static void on_h2_failed(void *user, const struct err *err)
{
	struct agent_peer *peer = user;

	log_info("agent lost", "pod=%s why=\"%s\"", peer->pod_uid, err->msg);
	agent_peer_end(peer, err->msg);
}

/* It hears nothing of the reason; TLS's close says that it is final. */
static int refuse(struct agent_peer *peer, struct err *err, const char *why)
{
	peer->refused = true;
	return err_set(err, -EACCES, ERR_AUTH, "%s", why);
}

/* Whether the certificate that it has shown names this pod, and nothing else. */
static bool cert_names(const struct agent_peer *peer, const char *pod_uid)
{
	const X509 *cert = tls_carrier_peer_cert(peer->carrier);
	const X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;
	const X509_NAME_ENTRY *entry =
		name && X509_NAME_entry_count(name) == 1 ? X509_NAME_get_entry(name, 0) : NULL;
	const ASN1_STRING *text = entry ? X509_NAME_ENTRY_get_data(entry) : NULL;

	return text && OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName &&
	       (size_t)ASN1_STRING_length(text) == strlen(pod_uid) &&
	       memcmp(ASN1_STRING_get0_data(text), pod_uid, strlen(pod_uid)) == 0;
}

/* Checks the JOIN; the certificate of a new agent, its length (0: it has one), or -errno. */
static ssize_t check_join(struct agent_peer *peer, const struct join *join,
	uint8_t ret_cert[static IDENTITY_CERT_DER_MAX], struct err *err)
{
	struct agent_server *server = peer->server;

	if (join->kind == JOIN_TOKEN) {
		if (tls_carrier_peer_cert(peer->carrier))
			return refuse(peer, err, "a token from an agent with a certificate");
		if (!server->events.spend_token(
			    server->user, join->token, join->pod_uid, &peer->source))
			return refuse(peer, err, "no such token of this pod");
		return identity_issue(
			server->identity, join->spki, join->spki_len, join->pod_uid, ret_cert, err);
	}
	if (!cert_names(peer, join->pod_uid))
		return refuse(peer, err, "no certificate of this pod");
	if (!server->events.known(server->user, join->pod_uid, &peer->source)) {
		static const char reason[] = "the manager wants no agent in this pod";

		pipe_send_record(peer->pipe, PIPE_REFUSE, reason, sizeof(reason) - 1);
		return refuse(peer, err, "its pod has no agent, or another address");
	}
	return 0;
}

static int accept_join(struct agent_peer *peer, const struct join *join, const uint8_t *cert,
	size_t cert_len, struct err *err)
{
	static const struct h2_session_events events = {
		.on_stream = on_h2_stream, .on_failed = on_h2_failed};
	struct agent_server *server = peer->server;
	int r;

	uv_timer_stop(&peer->deadline);
	pipe_send_record(peer->pipe, PIPE_WELCOME, cert, cert_len);
	pipe_open(peer->pipe);
	peer->role = join->role;
	r = h2_session_new(server->loop, peer->pipe, peer->role ? H2_CLIENT : H2_SERVER, &events,
		peer, &peer->h2, err);
	if (r < 0)
		return r;
	(void)memcpy(peer->pod_uid, join->pod_uid, sizeof(peer->pod_uid));
	leave_list(peer);
	peer->state = AGENT_PROVEN;
	TAILQ_INSERT_TAIL(&server->proven, peer, entry);
	server->events.on_agent(server->user, peer);
	return 0;
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct agent_peer *peer = user;
	uint8_t cert[IDENTITY_CERT_DER_MAX];
	struct join join;
	ssize_t cert_len;

	if (type != PIPE_JOIN)
		return err_set(err, -EPROTO, ERR_INTERNAL, "record %u is not due", type);
	if (join_parse(payload, len, &join) < 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "malformed JOIN");
	cert_len = check_join(peer, &join, cert, err);
	explicit_bzero(join.token, sizeof(join.token));
	if (cert_len < 0)
		return (int)cert_len;
	return accept_join(peer, &join, cert, (size_t)cert_len, err);
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct agent_peer *peer = user;

	return peer->h2 ? h2_session_recv(peer->h2, data, len, err) : 0;
}

static void on_writable(void *user)
{
	struct agent_peer *peer = user;

	if (peer->h2)
		h2_session_wake(peer->h2);
}

static void on_pipe_closed(void *user, const struct err *err)
{
	struct agent_peer *peer = user;

	if (peer->state == AGENT_PROVEN)
		log_info("agent gone", "pod=%s why=\"%s\"", peer->pod_uid, err->msg);
	else
		agent_server_refused(peer->server, &peer->source, err->msg);
	agent_peer_end(peer, err->msg);
}

void agent_peer_new(struct agent_server *server, int fd, const struct ip_addr *source)
{
	static const struct pipe_events events = {
		.on_record = on_record,
		.on_data = on_data,
		.on_writable = on_writable,
		.on_closed = on_pipe_closed,
	};
	const struct pipe_config config = {.ping_ms = 0, .silence_ms = PEER_SILENCE_MS};
	struct agent_peer *peer = XNEW(struct agent_peer);

	peer->server = server;
	peer->source = *source;
	peer->carrier = tls_carrier_new(
		server->loop, fd, identity_server_tls(server->identity), TLS_SIDE_SERVER);
	peer->pipe = pipe_new(server->loop, peer->carrier, &config, &events, peer);
	uv_timer_init(server->loop, &peer->deadline);
	uv_timer_start(&peer->deadline, on_deadline, LIMIT_HANDSHAKE_MS, 0);
	TAILQ_INSERT_TAIL(&server->handshakes, peer, entry);
	server->handshake_count++;
}

const char *agent_peer_pod_uid(const struct agent_peer *peer)
{
	return peer->pod_uid;
}

const struct ip_addr *agent_peer_source(const struct agent_peer *peer)
{
	return &peer->source;
}

struct h2_session *agent_peer_h2(const struct agent_peer *peer)
{
	return peer->role ? peer->h2 : NULL;
}

size_t agent_peer_streams(const struct agent_peer *peer)
{
	return peer->h2 ? h2_session_streams(peer->h2) : 0;
}

void *agent_peer_get_user(const struct agent_peer *peer)
{
	return peer->user;
}

void agent_peer_set_user(struct agent_peer *peer, void *user)
{
	peer->user = user;
}

void agent_peer_close(struct agent_peer *peer, const char *reason)
{
	agent_peer_end(peer, reason);
}
