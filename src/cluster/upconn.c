/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/upconn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "cluster/json.h"
#include "cluster/kubeentry.h"
#include "cluster/upconn_impl.h"
#include "core/alloc.h"

/* Four records of TLS and a little more. */
#define TLS_READ_BYTES ((size_t)66 * 1024)
/* What a control record may add to a full queue. */
#define SLACK_BYTES ((size_t)256 * 1024)
/* Of what a kubelet says of a port that it cannot forward. */
#define SAID_BYTES 1024

static void on_handle_closed(uv_handle_t *handle)
{
	struct upconn *conn = handle->data;

	if (--conn->handles > 0)
		return;
	free(conn->path);
	kube_config_done(&conn->names);
	buf_done(&conn->head);
	buf_done(&conn->said);
	sendq_done(&conn->queue);
	free(conn);
}

/* Stops everything but the memory; later events are impossible. */
static void shut(struct upconn *conn)
{
	if (conn->phase == PHASE_CLOSED)
		return;
	conn->phase = PHASE_CLOSED;
	if (conn->wait)
		kube_auth_cancel(kube_client_auth(conn->client), conn->wait);
	conn->wait = NULL;
	if (conn->poll_inited)
		uv_poll_stop(&conn->poll);
	uv_idle_stop(&conn->more);
	uv_timer_stop(&conn->timer);
	if (conn->transport.easy) {
		driver_remove(conn->driver, conn->transport.easy);
		transport_done(&conn->transport);
		conn->ssl = NULL;
		conn->batch = NULL;
	}
	driver_free(conn->driver);
	conn->driver = NULL;
}

void upconn_fail(struct upconn *conn, const struct err *err)
{
	struct err copy = *err; /* may live in conn */

	if (conn->phase == PHASE_CLOSED)
		return;
	shut(conn);
	conn->events.on_closed(conn->user, &copy);
}

static void on_deadline(uv_timer_t *timer)
{
	struct upconn *conn = timer->data;

	if (conn->failure.code == 0)
		err_set(&conn->failure, -ETIMEDOUT, ERR_UNREACHABLE,
			"%s does not answer the upgrade of %s within %u s", conn->names.server,
			conn->path, conn->config.upgrade_ms / 1000);
	upconn_fail(conn, &conn->failure);
}

void upconn_fail_later(struct upconn *conn)
{
	uv_timer_start(&conn->timer, on_deadline, 0, 0);
}

/* The API server says why in an object. Who forbids or does not find an upgrade otherwise stands
 * before it, and knows nothing of who asks or of what there is: another way may be let through. */
static bool is_proxys(const struct http_upgrade_answer *answer)
{
	bool absent = answer->status == 404 || answer->status == 410;

	if (!absent && answer->status != 403)
		return false;
	return answer->body_len > 0 ? answer->body[0] != '{' : absent;
}

static void refused(struct upconn *conn, const struct http_upgrade_answer *answer)
{
	struct err err = ERR_INIT;
	json_object *body = json_parse(answer->body, answer->body_len);
	auto_free char *what = xasprintf("%s %s", conn->config.upgrade.method, conn->path);

	if (is_proxys(answer))
		err_set(&err, -EPROTO, ERR_UNREACHABLE,
			"%s answers the upgrade of %s with HTTP status %d; is there a proxy "
			"between that does not let it through?",
			conn->names.server, conn->path, answer->status);
	else
		transport_status_error(&conn->names, answer->status, body, what, &err);
	json_object_put(body);
	upconn_fail(conn, &err);
}

void upconn_read_upgrade(struct upconn *conn, const uint8_t *data, size_t len)
{
	struct http_upgrade_answer answer = {0};
	struct err err = ERR_INIT;
	int r = len > 0 ? buf_append(&conn->head, data, len) : 0;

	if (r == 0)
		r = http_upgrade_parse(
			&conn->head, len == 0, &conn->config.upgrade, conn->key, &answer);
	if (r == 0)
		return;
	if (r < 0) {
		err_set(&err, -EPROTO, ERR_UNREACHABLE,
			"%s does not answer the upgrade of %s as %s; is there a proxy "
			"between that does not let it through?",
			conn->names.server, conn->path,
			upconn_is_spdy(conn) ? SPDY_PROTOCOL : "a WebSocket");
		upconn_fail(conn, &err);
	} else if (answer.status != 101) {
		refused(conn, &answer);
	} else if (upconn_is_spdy(conn)) {
		upconn_spdy_begin(conn);
	} else {
		upconn_opened(conn);
	}
}

void upconn_opened(struct upconn *conn)
{
	conn->phase = PHASE_OPEN;
	uv_timer_stop(&conn->timer);
	upconn_update_poll(conn);
	conn->events.on_open(conn->user);
}

/* Several TLS records with one recv(2) instead of two calls for each, and with one send(2). */
static CURLcode on_tls_context(CURL *easy, void *context, void *user)
{
	struct upconn *conn = user;

	(void)easy;
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, TLS_READ_BYTES);
	tls_batch_watch(context, &conn->ssl);
	return CURLE_OK;
}

static void on_credential(
	void *user, int r, const struct kube_credential *credential, const struct err *err)
{
	struct upconn *conn = user;
	CURL *easy = NULL;

	conn->wait = NULL;
	if (r < 0) {
		conn->failure = *err;
		upconn_fail_later(conn);
		return;
	}
	transport_init(&conn->transport, kube_client_config(conn->client), credential, conn->path);
	easy = conn->transport.easy;
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, conn);
	/* By ALPN: an upgrade is a thing of HTTP/1.1. */
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	conn->phase = PHASE_CONNECT;
	driver_add(conn->driver, easy);
}

static int send_upgrade(struct upconn *conn)
{
	struct buf request;
	int r = 0;

	buf_init(&request, LIMIT_HTTP_HEAD_BYTES);
	r = http_upgrade_request(
		&request, &conn->transport, conn->names.server, &conn->config.upgrade, conn->key);
	if (r == 0)
		r = sendq_raw(&conn->queue, NULL, 0, buf_head(&request), buf_len(&request));
	if (request.data)
		explicit_bzero(request.data, request.cap);
	buf_done(&request);
	return r;
}

static void on_connected(void *user, CURL *easy, CURLcode code)
{
	struct upconn *conn = user;
	const int keep_ms = LIMIT_CARRIER_KEEP_MS;
	curl_socket_t fd = CURL_SOCKET_BAD;
	struct err err = ERR_INIT;
	int r = 0;

	if (code != CURLE_OK) {
		transport_error(&conn->transport, code, &conn->names, &err);
		upconn_fail(conn, &err);
		return;
	}
	(void)curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
	/* Who is dead is for the heartbeat above to say. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &keep_ms, sizeof(keep_ms));
	r = uv_poll_init_socket(driver_loop(conn->driver), &conn->poll, fd);
	if (r == 0) {
		conn->poll_inited = true;
		conn->handles++;
		r = send_upgrade(conn);
	}
	if (r < 0) {
		err_set_errno(&err, r, "upgrade of %s", conn->path);
		upconn_fail(conn, &err);
		return;
	}
	if (conn->ssl)
		conn->batch = tls_batch_attach(conn->ssl);
	conn->phase = PHASE_UPGRADE;
	conn->reached = true;
	uv_timer_start(&conn->timer, on_deadline, conn->config.upgrade_ms, 0);
	upconn_flush(conn);
	upconn_update_poll(conn);
}

struct upconn *upconn_open(struct kube_client *client, const struct upconn_config *wanted,
	const struct upconn_events *events, void *user)
{
	static const struct driver_events driver_events = {.on_done = on_connected};
	uv_loop_t *loop = kube_client_loop(client);
	const struct kube_config *config = kube_client_config(client);
	struct upconn *conn = XNEW(struct upconn);
	struct kube_auth_wait *wait = NULL;

	conn->client = client;
	conn->config = *wanted;
	conn->config.upgrade.path = conn->path = xstrdup(wanted->upgrade.path);
	conn->names.server = xstrdup(config->server);
	conn->names.context = xstrdup(config->context);
	conn->events = *events;
	conn->user = user;
	conn->parser.role = WS_CLIENT;
	buf_init(&conn->said, SAID_BYTES);
	buf_init(&conn->head, (size_t)LIMIT_HTTP_HEAD_BYTES + UPCONN_READ_BYTES);
	sendq_init(&conn->queue, LIMIT_CARRIER_QUEUE_BYTES + SLACK_BYTES);
	uv_timer_init(loop, &conn->timer);
	uv_idle_init(loop, &conn->more);
	conn->timer.data = conn->more.data = conn->poll.data = conn;
	conn->handles = 2;
	conn->driver = driver_new(loop, &driver_events, conn);
	kube_auth_get(kube_client_auth(client), on_credential, conn, &wait);
	if (wait)
		conn->wait = wait;
	return conn;
}

void upconn_set_events(struct upconn *conn, const struct upconn_events *events, void *user)
{
	conn->events = *events;
	conn->user = user;
}

void upconn_start(struct upconn *conn)
{
	if (conn->phase != PHASE_OPEN)
		return;
	conn->started = true;
	upconn_update_poll(conn);
	/* Frames that came with the answer, and what TLS has decrypted already. */
	upconn_more(conn);
}

bool upconn_reached(const struct upconn *conn)
{
	return conn->reached;
}

size_t upconn_room(const struct upconn *conn)
{
	if (conn->phase != PHASE_OPEN || conn->queue.len >= LIMIT_CARRIER_QUEUE_BYTES)
		return 0;
	return LIMIT_CARRIER_QUEUE_BYTES - conn->queue.len;
}

void upconn_send(
	struct upconn *conn, const void *prefix, size_t prefix_len, const void *data, size_t len)
{
	int r = 0;

	if (conn->phase != PHASE_OPEN || conn->failure.code != 0)
		return;
	r = upconn_is_spdy(conn)
		    ? upconn_spdy_send(conn, data, len)
		    : sendq_frame(&conn->queue, WS_OP_BINARY, prefix, prefix_len, data, len);
	if (r < 0) {
		err_set_errno(&conn->failure, r, "sending to %s", conn->names.server);
		upconn_fail_later(conn);
		return;
	}
	if (!conn->want_write)
		upconn_flush(conn);
}

void upconn_free(struct upconn *conn)
{
	static const uint8_t going_away[] = {0x03, 0xe9}; /* 1001, RFC 6455 7.4.1 */

	if (!conn || conn->freed)
		return;
	conn->freed = true;
	if (conn->phase == PHASE_OPEN && !upconn_is_spdy(conn) && !conn->want_write &&
		sendq_frame(&conn->queue, WS_OP_CLOSE, NULL, 0, going_away, sizeof(going_away)) ==
			0)
		upconn_flush(conn);
	shut(conn);
	/* The rest goes when the handles are closed: an event may be under way. */
	uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
	uv_close((uv_handle_t *)&conn->more, on_handle_closed);
	if (conn->poll_inited)
		uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
}
