/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: tunnel */
/*
 * What comes to the agents' port and to an agent before it is proven, by the input's first byte: 0
 * the payload of JOIN and the key in it, 1 the payload of WELCOME, 2 the first bytes of a
 * connection, in pieces of the length that the second byte says.
 */
#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "core/err.h"
#include "tunnel/agent_credentials.h"
#include "tunnel/carrier.h"
#include "tunnel/identity.h"
#include "tunnel/join.h"
#include "tunnel/tls_carrier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TLS_HANDSHAKE 22

static struct identity *identity(void)
{
	static struct identity *made;
	struct err err = ERR_INIT;

	if (!made)
		assert(identity_new(&made, &err) == 0);
	return made;
}

static void parse_join(const uint8_t *data, size_t size)
{
	uint8_t out[JOIN_MAX_BYTES], cert[IDENTITY_CERT_DER_MAX];
	struct err err = ERR_INIT;
	struct join join;
	ssize_t n;

	if (join_parse(data, size, &join) < 0)
		return;
	/* One form only. */
	n = join_format(&join, out);
	assert(n == (ssize_t)size && memcmp(out, data, size) == 0);
	if (join.kind != JOIN_TOKEN)
		return;
	n = identity_issue(identity(), join.spki, join.spki_len, join.pod_uid, cert, &err);
	assert(n <= IDENTITY_CERT_DER_MAX && (n > 0 || err.msg[0]));
}

static void parse_welcome(const uint8_t *data, size_t size)
{
	static struct agent_credentials *credentials;
	uint8_t pin[IDENTITY_PIN_BYTES], token[AGENT_TOKEN_BYTES] = {0};
	struct err err = ERR_INIT;

	if (!credentials) {
		identity_pin(identity(), pin);
		assert(agent_credentials_new(pin, token, "pod", &credentials, &err) == 0);
	}
	/* Nobody guesses a certificate of this key. */
	assert(agent_credentials_welcome(credentials,
		       SSL_CTX_get0_certificate(identity_server_tls(identity())), data, size,
		       &err) < 0);
	assert(agent_credentials_kind(credentials) == JOIN_TOKEN);
}

static void no_data(void *user, const uint8_t *data, size_t len)
{
	(void)user, (void)data, (void)len;
	abort();
}

static void no_writable(void *user)
{
	(void)user;
	abort();
}

static void on_closed(void *user, const struct err *err)
{
	assert(err->msg[0]);
	*(bool *)user = true;
}

static void accept_bytes(const uint8_t *data, size_t size, size_t piece)
{
	static const struct carrier_events events = {
		.on_data = no_data, .on_writable = no_writable, .on_closed = on_closed};
	struct carrier *carrier;
	bool closed = false;
	uint8_t answer;
	uv_loop_t loop;
	int fds[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	uv_loop_init(&loop);
	carrier = tls_carrier_new(&loop, fds[1], identity_server_tls(identity()), TLS_SIDE_SERVER);
	carrier_start(carrier, &events, &closed);
	for (size_t at = 0; at < size && !closed; at += piece) {
		(void)!send(fds[0], data + at, MIN(piece, size - at), MSG_NOSIGNAL);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	/* Silence, or the answer to a good ClientHello. */
	if (recv(fds[0], &answer, 1, MSG_DONTWAIT) == 1)
		assert(answer == TLS_HANDSHAKE);
	carrier_free(carrier);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert(uv_loop_close(&loop) == 0);
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	switch (data[0]) {
	case 0:
		parse_join(data + 1, size - 1);
		break;
	case 1:
		parse_welcome(data + 1, size - 1);
		break;
	case 2:
		accept_bytes(data + 2, size - 2, (size_t)data[1] + 1);
		break;
	default:
		break;
	}
	return 0;
}
