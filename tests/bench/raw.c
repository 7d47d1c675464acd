/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw byte stream through the API server, by services/proxy or by a port-forward: the baseline
 * that the tunnel is compared with. The same TLS, the same relay, an upgrade, then only bytes.
 */
#include "raw.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/kubeconfig.h"
#include "core/err.h"

#define FORWARD \
	"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
	"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	(void)poll(&p, 1, 10000);
}

ssize_t raw_read(struct pump_stream *stream, void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code;

	while ((code = curl_easy_recv(stream->handle, buf, len, &n)) == CURLE_AGAIN)
		wait_for(stream->fd, POLLIN);
	return code == CURLE_OK ? (ssize_t)n : -1;
}

ssize_t raw_read_now(struct pump_stream *stream, void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code = curl_easy_recv(stream->handle, buf, len, &n);

	if (code == CURLE_AGAIN)
		return 0;
	return code == CURLE_OK && n > 0 ? (ssize_t)n : -1;
}

static ssize_t raw_write(struct pump_stream *stream, const void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code;

	while ((code = curl_easy_send(stream->handle, buf, len, &n)) == CURLE_AGAIN)
		wait_for(stream->fd, POLLOUT);
	return code == CURLE_OK ? (ssize_t)n : -1;
}

int raw_read_exactly(struct pump_stream *stream, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = raw_read(stream, buf, len);

		if (n <= 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

int raw_write_all(struct pump_stream *stream, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = raw_write(stream, buf, len);

		if (n <= 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The head of the next frame (RFC 6455 5.2) of which *byte came already, up to its channel. */
static int read_frame_head(struct pump_stream *stream, uint8_t byte)
{
	uint8_t head[8], length, channel;
	size_t more;

	if ((byte & 0x0f) != 2 || raw_read_exactly(stream, &length, 1) < 0)
		return -1;
	more = length == 127 ? 8 : length == 126 ? 2 : 0;
	if (raw_read_exactly(stream, head, more) < 0)
		return -1;
	stream->frame_left = more ? 0 : length;
	for (size_t i = 0; i < more; i++)
		stream->frame_left = stream->frame_left << 8 | head[i];
	if (stream->frame_left-- == 0 || raw_read_exactly(stream, &channel, 1) < 0)
		return -1;
	/* The first frame of each channel is its port. */
	if (channel <= 1 && !(stream->ports_seen & 1U << channel)) {
		stream->ports_seen |= 1U << channel;
		stream->frame_left = 0;
		return raw_read_exactly(stream, head, 2);
	}
	return channel == 0 ? 0 : -1;
}

static ssize_t forward_take(struct pump_stream *stream, uint8_t first, void *buf, size_t len)
{
	ssize_t n;

	if (stream->frame_left == 0 && read_frame_head(stream, first) < 0)
		return -1;
	if (stream->frame_left == 0)
		return 0;
	n = raw_read(stream, buf, len < stream->frame_left ? len : stream->frame_left);
	if (n > 0)
		stream->frame_left -= (uint64_t)n;
	return n > 0 ? n : -1;
}

static ssize_t forward_read(struct pump_stream *stream, void *buf, size_t len)
{
	uint8_t first = 0;
	ssize_t n = 0;

	while (n == 0) {
		if (stream->frame_left == 0 && raw_read_exactly(stream, &first, 1) < 0)
			return -1;
		n = forward_take(stream, first, buf, len);
	}
	return n;
}

static ssize_t forward_read_now(struct pump_stream *stream, void *buf, size_t len)
{
	uint8_t first = 0;
	ssize_t n = stream->frame_left > 0 ? 1 : raw_read_now(stream, &first, 1);

	return n > 0 ? forward_take(stream, first, buf, len) : n;
}

/* One binary frame on channel 0. The mask's key is zero, so the baseline pays for no masking. */
static ssize_t forward_write(struct pump_stream *stream, const void *buf, size_t len)
{
	static uint8_t frame[14 + 1 + PUMP_BLOCK];
	size_t head = 2;

	len = len < PUMP_BLOCK ? len : PUMP_BLOCK;
	memset(frame, 0, 15);
	frame[0] = 0x82;
	if (len + 1 < 126) {
		frame[1] = (uint8_t)(0x80 | (len + 1));
	} else {
		frame[1] = 0x80 | 127;
		for (size_t i = 0; i < 8; i++)
			frame[9 - i] = (uint8_t)((uint64_t)(len + 1) >> 8 * i);
		head = 10;
	}
	memset(frame + head, 0, 5);
	memcpy(frame + head + 5, buf, len);
	len += head + 5;
	return raw_write_all(stream, frame, len) < 0 ? -1 : (ssize_t)(len - head - 5);
}

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.flags = CURL_BLOB_COPY};

	if (!pem)
		return;
	blob.len = strlen(pem);
	blob.data = strdup(pem);
	(void)curl_easy_setopt(easy, option, &blob);
	free(blob.data);
}

/* Sends the upgrade and reads its answer up to the empty line. */
static int upgrade(struct pump_stream *stream, const char *host, const char *path, bool spdy)
{
	char head[8192];
	size_t len = 0;
	const char *protocol = spdy                           ? RAW_SPDY_UPGRADE
			       : strstr(path, "/portforward") ? FORWARD
							      : "Upgrade: pump\r\n";
	int n = snprintf(head, sizeof(head),
		"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n%s\r\n", path, host,
		protocol);

	if (raw_write(stream, head, (size_t)n) != n)
		return -1;
	while (len + 1 < sizeof(head) && (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0)) {
		if (raw_read(stream, head + len, 1) != 1)
			return -1;
		len++;
	}
	head[len] = '\0';
	if (strncmp(head, "HTTP/1.1 101", 12) == 0)
		return 0;
	(void)fprintf(stderr, "upgrade of %s: %s\n", path, head);
	return -1;
}

struct pump_stream *raw_open(const char *kubeconfig, const char *path)
{
	struct kube_overrides overrides = {.kubeconfig = kubeconfig};
	struct pump_stream *stream = NULL;
	AUTO(kube_config) config = NULL;
	struct err err = ERR_INIT;
	curl_socket_t fd = -1;
	CURL *easy = curl_easy_init();
	bool spdy = strncmp(path, RAW_SPDY, strlen(RAW_SPDY)) == 0;

	path += spdy ? strlen(RAW_SPDY) : 0;
	if (!easy || kube_config_load(&overrides, &config, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return NULL;
	}
	(void)curl_easy_setopt(easy, CURLOPT_URL, config->server);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set_pem(easy, CURLOPT_CAINFO_BLOB, config->ca_pem);
	set_pem(easy, CURLOPT_SSLCERT_BLOB, config->cert_pem);
	set_pem(easy, CURLOPT_SSLKEY_BLOB, config->key_pem);
	if (curl_easy_perform(easy) != CURLE_OK ||
		curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK) {
		(void)fprintf(stderr, "cannot connect to %s\n", config->server);
		return NULL;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	*stream = (struct pump_stream){.read = raw_read,
		.read_now = raw_read_now,
		.write = raw_write,
		.handle = easy,
		.fd = fd};
	if (upgrade(stream, strstr(config->server, "//") + 2, path, spdy) < 0 ||
		(spdy && raw_spdy_start(stream, (uint16_t)atoi(strrchr(path, '=') + 1)) < 0)) {
		free(stream);
		return NULL;
	}
	if (!spdy && strstr(path, "/portforward")) {
		stream->read = forward_read;
		stream->read_now = forward_read_now;
		stream->write = forward_write;
	}
	return stream;
}
