/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/listen.h"

#include <assert.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "dns/sockets.h"
#include "net/addr.h"

#define PREFIX_BYTES 2 /* RFC 1035 4.2.2 */
/* Connections at once: a resolver library keeps one or two a process. */
#define CONNS 128
/* Unanswered messages of a connection. */
#define CONN_QUERIES 32
/* RFC 7766 6.2.3; a lookup and the forwarding behind it together take less. */
#define CONN_IDLE_MS (2 * LIMIT_DNS_TIMEOUT_MS + 2000)

struct conn {
	struct conn *prev, *next;
	struct dns_listener *listener; /* NULL: closing */
	uv_tcp_t tcp;
	uv_timer_t idle;
	unsigned int handles; /* not closed yet */
	unsigned int pending; /* messages whose reply is not written */
	bool processing, eof;
	struct buf in;
};

struct dns_listener {
	uv_loop_t *loop;
	uv_udp_t udp[DNS_FAMILIES][DNS_UDP_SOCKETS];
	uv_tcp_t tcp[DNS_FAMILIES];
	unsigned int families, handles;
	uint16_t port;
	dns_message_fn on_message;
	void *user;
	struct conn *conns;
	unsigned int conn_count;
	char datagram[LIMIT_DNS_MESSAGE_BYTES];
};

struct dns_peer {
	struct conn *conn; /* NULL: UDP */
	uv_udp_t *udp;
	struct sockaddr_storage addr;
};

struct reply {
	uv_write_t write;
	struct conn *conn;
	uint8_t prefix[PREFIX_BYTES];
	uint8_t msg[];
};

static void conn_free_if_done(struct conn *conn)
{
	if (conn->handles > 0 || conn->pending > 0)
		return;
	buf_done(&conn->in);
	free(conn);
}

static void on_conn_closed(uv_handle_t *handle)
{
	struct conn *conn = handle->data;

	conn->handles--;
	conn_free_if_done(conn);
}

static void conn_close(struct conn *conn)
{
	struct dns_listener *listener = conn->listener;

	if (!listener)
		return;
	conn->listener = NULL;
	DL_DELETE(listener->conns, conn);
	listener->conn_count--;
	uv_close((uv_handle_t *)&conn->tcp, on_conn_closed);
	uv_close((uv_handle_t *)&conn->idle, on_conn_closed);
}

static void on_idle(uv_timer_t *timer)
{
	conn_close(timer->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct conn *conn = handle->data;
	size_t room = MIN(buf_room(&conn->in), suggested);

	/* There is room: a whole message was taken out, or reading is stopped. */
	*ret_buf = uv_buf_init((char *)buf_reserve(&conn->in, room), (unsigned int)room);
}

static void on_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *data);

/* Hands over what is whole, as far as the limit lets it. */
static void conn_process(struct conn *conn)
{
	if (conn->processing)
		return;
	conn->processing = true;
	while (conn->listener && conn->pending < CONN_QUERIES &&
		buf_len(&conn->in) >= PREFIX_BYTES) {
		const uint8_t *in = buf_head(&conn->in);
		size_t len = (size_t)(in[0] << 8 | in[1]);
		struct dns_peer *peer;

		if (buf_len(&conn->in) < PREFIX_BYTES + len)
			break;
		peer = XNEW(struct dns_peer);
		peer->conn = conn;
		conn->pending++;
		(void)uv_timer_again(&conn->idle);
		conn->listener->on_message(conn->listener->user, peer, in + PREFIX_BYTES, len);
		buf_consume(&conn->in, PREFIX_BYTES + len);
	}
	conn->processing = false;
	if (!conn->listener)
		return;
	if (conn->eof && conn->pending == 0)
		conn_close(conn);
	else if (conn->eof || conn->pending >= CONN_QUERIES)
		(void)uv_read_stop((uv_stream_t *)&conn->tcp);
	else
		(void)uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_conn_read);
}

static void on_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
	struct conn *conn = stream->data;

	(void)data;
	if (n < 0 && n != UV_EOF) {
		conn_close(conn);
		return;
	}
	if (n > 0)
		buf_commit(&conn->in, (size_t)n);
	/* The client may have closed only its sending half. */
	conn->eof = conn->eof || n == UV_EOF;
	conn_process(conn);
}

static void conn_replied(struct conn *conn)
{
	conn->pending--;
	if (conn->listener) {
		(void)uv_timer_again(&conn->idle);
		conn_process(conn);
	} else {
		conn_free_if_done(conn);
	}
}

static void on_written(uv_write_t *write, int status)
{
	struct reply *reply = write->data;
	struct conn *conn = reply->conn;

	free(reply);
	if (status < 0)
		conn_close(conn);
	conn_replied(conn);
}

static void conn_reply(struct conn *conn, const uint8_t *msg, size_t len)
{
	struct reply *reply;
	uv_buf_t out;
	int r;

	if (!conn->listener || !msg) {
		conn_replied(conn);
		return;
	}
	reply = xcalloc(1, sizeof(*reply) + len);
	reply->conn = conn;
	reply->write.data = reply;
	reply->prefix[0] = (uint8_t)(len >> 8);
	reply->prefix[1] = (uint8_t)len;
	memcpy(reply->msg, msg, len);
	out = uv_buf_init((char *)reply->prefix, (unsigned int)(PREFIX_BYTES + len));
	r = uv_write(&reply->write, (uv_stream_t *)&conn->tcp, &out, 1, on_written);
	if (r < 0)
		on_written(&reply->write, r);
}

static bool conn_is_local(const uv_tcp_t *tcp)
{
	struct sockaddr_storage peer;
	int len = sizeof(peer);

	return uv_tcp_getpeername(tcp, (struct sockaddr *)&peer, &len) == 0 &&
	       dns_sockets_local((const struct sockaddr *)&peer);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct dns_listener *listener = server->data;
	struct conn *conn;

	if (status < 0)
		return;
	conn = XNEW(struct conn);
	buf_init(&conn->in, PREFIX_BYTES + LIMIT_DNS_MESSAGE_BYTES);
	conn->listener = listener;
	conn->handles = 2;
	(void)uv_tcp_init(listener->loop, &conn->tcp);
	(void)uv_timer_init(listener->loop, &conn->idle);
	conn->tcp.data = conn->idle.data = conn;
	DL_APPEND(listener->conns, conn);
	listener->conn_count++;
	if (uv_accept(server, (uv_stream_t *)&conn->tcp) < 0 || listener->conn_count > CONNS ||
		!conn_is_local(&conn->tcp)) {
		conn_close(conn);
		return;
	}
	(void)uv_timer_start(&conn->idle, on_idle, CONN_IDLE_MS, CONN_IDLE_MS);
	conn_process(conn);
}

static void on_datagram_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct dns_listener *listener = handle->data;

	(void)suggested;
	*ret_buf = uv_buf_init(listener->datagram, sizeof(listener->datagram));
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *data, const struct sockaddr *addr,
	unsigned int flags)
{
	struct dns_listener *listener = udp->data;
	struct dns_peer *peer;

	(void)flags;
	if (n < 0 || !addr || !dns_sockets_local(addr))
		return;
	peer = XNEW(struct dns_peer);
	peer->udp = udp;
	memcpy(&peer->addr, addr,
		addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					   : sizeof(struct sockaddr_in6));
	listener->on_message(listener->user, peer, (const uint8_t *)data->base, (size_t)n);
}

bool dns_peer_is_tcp(const struct dns_peer *peer)
{
	return peer->conn != NULL;
}

void dns_peer_reply(struct dns_peer *peer, const uint8_t *msg, size_t len)
{
	assert(len <= LIMIT_DNS_MESSAGE_BYTES);
	if (peer->conn) {
		conn_reply(peer->conn, msg, len);
	} else if (msg) {
		union {
			const uint8_t *in;
			char *out;
		} unconst = {.in = msg};
		uv_buf_t out = uv_buf_init(unconst.out, (unsigned int)len);

		/* A datagram that the socket does not take is a lost one, as on any network. */
		(void)uv_udp_try_send(peer->udp, &out, 1, (const struct sockaddr *)&peer->addr);
	}
	free(peer);
}

static void init_family(struct dns_listener *listener, unsigned int i)
{
	for (unsigned int j = 0; j < DNS_UDP_SOCKETS; j++) {
		(void)uv_udp_init(listener->loop, &listener->udp[i][j]);
		listener->udp[i][j].data = listener;
	}
	(void)uv_tcp_init(listener->loop, &listener->tcp[i]);
	listener->tcp[i].data = listener;
	listener->handles += DNS_UDP_SOCKETS + 1;
	listener->families++;
}

static int start_family(struct dns_listener *listener, struct dns_sockets *sockets, unsigned int i)
{
	uv_tcp_t *tcp = &listener->tcp[i];
	int r = 0;

	init_family(listener, i);
	for (unsigned int j = 0; r == 0 && j < DNS_UDP_SOCKETS; j++) {
		if (sockets->udp[i][j] < 0)
			continue;
		r = uv_udp_open(&listener->udp[i][j], sockets->udp[i][j]);
		if (r < 0)
			return r;
		sockets->udp[i][j] = -1;
		r = uv_udp_recv_start(&listener->udp[i][j], on_datagram_alloc, on_datagram);
	}
	if (r == 0)
		r = uv_tcp_open(tcp, sockets->tcp[i]);
	if (r < 0)
		return r;
	sockets->tcp[i] = -1;
	return uv_listen((uv_stream_t *)tcp, CONNS, on_connection);
}

int dns_listener_new(uv_loop_t *loop, struct dns_sockets *sockets, dns_message_fn on_message,
	void *user, struct dns_listener **ret_listener, struct err *err)
{
	struct dns_listener *listener = XNEW(struct dns_listener);
	int r = 0;

	listener->loop = loop;
	listener->on_message = on_message;
	listener->user = user;
	listener->port = sockets->port;
	for (unsigned int i = 0; i < sockets->families && r >= 0; i++)
		r = start_family(listener, sockets, i);
	dns_sockets_close(sockets);
	if (r < 0) {
		dns_listener_free(listener);
		return err_set_errno(err, r, "listen for DNS on port %u", sockets->port);
	}
	*ret_listener = listener;
	return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct dns_listener *listener = handle->data;

	if (--listener->handles == 0)
		free(listener);
}

void dns_listener_free(struct dns_listener *listener)
{
	if (!listener)
		return;
	while (listener->conns)
		conn_close(listener->conns);
	for (unsigned int i = 0; i < listener->families; i++) {
		for (unsigned int j = 0; j < DNS_UDP_SOCKETS; j++)
			uv_close((uv_handle_t *)&listener->udp[i][j], on_listener_closed);
		uv_close((uv_handle_t *)&listener->tcp[i], on_listener_closed);
	}
}

/* Of one socket, by the kernel's count. */
static uint32_t lost_by(const uv_udp_t *udp)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);
	uv_os_fd_t fd;

	if (uv_fileno((const uv_handle_t *)udp, &fd) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return 0;
	return info[SK_MEMINFO_DROPS];
}

uint64_t dns_listener_lost(const struct dns_listener *listener)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < listener->families; i++) {
		for (unsigned int j = 0; j < DNS_UDP_SOCKETS; j++)
			lost += lost_by(&listener->udp[i][j]);
	}
	return lost;
}

uint16_t dns_listener_port(const struct dns_listener *listener)
{
	return listener->port;
}
