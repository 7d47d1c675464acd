/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/cluster/fake_api.h - an API server of canned answers on a loopback port, on the test's
 * own loop
 *
 * Each request's head goes to answer(), which returns the bytes to send back (heap), or NULL to
 * keep silent. close_after: the connection ends after the answer. Bytes after an answer that
 * switched protocols go to raw().
 */
#ifndef TESTS_FAKE_API_H
#define TESTS_FAKE_API_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <uv.h>

#include "fake_conn.h"
#include "core/alloc.h"

static inline void fake_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	(void)handle;
	*buf = uv_buf_init(xcalloc(1, size), (unsigned int)size);
}

static inline void fake_take(struct fake_conn *conn, const char *data, size_t len)
{
	char *end = NULL, *text = NULL;

	len = MIN(len, sizeof(conn->head) - 1 - conn->len);
	memcpy(conn->head + conn->len, data, len);
	conn->len += len;
	end = strstr(conn->head, "\r\n\r\n");
	if (!end)
		return;
	conn->api->requests++;
	text = conn->api->answer(conn->api, conn->head);
	conn->raw = conn->api->raw_after;
	memset(conn->head, 0, sizeof(conn->head));
	conn->len = 0;
	if (text)
		fake_send(conn, text, strlen(text));
	free(text);
	if (conn->api->close_after)
		fake_close(conn);
}

static inline void fake_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct fake_conn *conn = stream->data;

	if (n < 0)
		fake_close(conn);
	else if (n > 0 && conn->raw)
		conn->api->raw(conn, (uint8_t *)buf->base, (size_t)n);
	else if (n > 0)
		fake_take(conn, buf->base, (size_t)n);
	free(buf->base);
}

static inline void fake_on_connection(uv_stream_t *stream, int status)
{
	struct fake_api *api = stream->data;
	struct fake_conn *conn = XNEW(struct fake_conn);

	(void)status;
	conn->api = api;
	api->accepted++;
	uv_tcp_init(api->loop, &conn->tcp);
	conn->tcp.data = conn;
	(void)uv_accept(stream, (uv_stream_t *)&conn->tcp);
	for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
		if (!api->conns[i]) {
			api->conns[i] = conn;
			break;
		}
	}
	(void)uv_read_start((uv_stream_t *)&conn->tcp, fake_alloc, fake_on_read);
}

static inline void fake_start(struct fake_api *api, uv_loop_t *loop)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int len = sizeof(addr);

	api->loop = loop;
	uv_tcp_init(loop, &api->listener);
	api->listener.data = api;
	(void)uv_tcp_bind(&api->listener, (const struct sockaddr *)&addr, 0);
	(void)uv_listen((uv_stream_t *)&api->listener, FAKE_CONNS_MAX, fake_on_connection);
	(void)uv_tcp_getsockname(&api->listener, (struct sockaddr *)&addr, &len);
	(void)snprintf(api->url, sizeof(api->url), "http://127.0.0.1:%d", ntohs(addr.sin_port));
}

static inline void fake_stop(struct fake_api *api)
{
	for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
		if (api->conns[i])
			fake_close(api->conns[i]);
	}
	if (!uv_is_closing((uv_handle_t *)&api->listener))
		uv_close((uv_handle_t *)&api->listener, NULL);
}

static inline char *fake_json(int status, const char *body)
{
	return xasprintf(
		"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		status, strlen(body), body);
}

#endif /* TESTS_FAKE_API_H */
