/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/cluster/fake_conn.h - one connection of fake_api.h's server: sending and closing */
#ifndef TESTS_FAKE_CONN_H
#define TESTS_FAKE_CONN_H

#include <stdbool.h>
#include <string.h>
#include <uv.h>

#include "core/alloc.h"

#define FAKE_CONNS_MAX 16

struct fake_conn {
	uv_tcp_t tcp;
	struct fake_api *api;
	char head[8192];
	size_t len;
	bool raw, closing;
};

struct fake_api {
	uv_loop_t *loop;
	uv_tcp_t listener;
	struct fake_conn *conns[FAKE_CONNS_MAX];
	char *(*answer)(struct fake_api *api, const char *head);
	void (*raw)(struct fake_conn *conn, uint8_t *data, size_t len);
	bool close_after, raw_after;
	int requests;
	int accepted; /* connections, ever */
	char url[64];
};

static inline void fake_on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static inline void fake_close(struct fake_conn *conn)
{
	if (conn->closing)
		return;
	conn->closing = true;
	for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
		if (conn->api->conns[i] == conn)
			conn->api->conns[i] = NULL;
	}
	uv_close((uv_handle_t *)&conn->tcp, fake_on_closed);
}

struct fake_write {
	uv_write_t req;
	char *data;
};

static inline void fake_on_written(uv_write_t *req, int status)
{
	struct fake_write *write = req->data;

	(void)status;
	free(write->data);
	free(write);
}

static inline void fake_send(struct fake_conn *conn, const void *data, size_t len)
{
	struct fake_write *write = XNEW(struct fake_write);
	uv_buf_t buf;

	write->req.data = write;
	write->data = xcalloc(1, len + 1);
	memcpy(write->data, data, len);
	buf = uv_buf_init(write->data, (unsigned int)len);
	(void)uv_write(&write->req, (uv_stream_t *)&conn->tcp, &buf, 1, fake_on_written);
}

#endif /* TESTS_FAKE_CONN_H */
