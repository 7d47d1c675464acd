/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw byte stream through the API server's services/proxy: the baseline that the tunnel is
 * compared with. The same TLS, the same relay, an upgrade, and then nothing but bytes.
 */
#include "pump.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/kubeconfig.h"
#include "core/err.h"

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	(void)poll(&p, 1, 10000);
}

static ssize_t raw_read(struct pump_stream *stream, void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code;

	while ((code = curl_easy_recv(stream->handle, buf, len, &n)) == CURLE_AGAIN)
		wait_for(stream->fd, POLLIN);
	return code == CURLE_OK ? (ssize_t)n : -1;
}

static ssize_t raw_write(struct pump_stream *stream, const void *buf, size_t len)
{
	size_t n = 0;
	CURLcode code;

	while ((code = curl_easy_send(stream->handle, buf, len, &n)) == CURLE_AGAIN)
		wait_for(stream->fd, POLLOUT);
	return code == CURLE_OK ? (ssize_t)n : -1;
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
static int upgrade(struct pump_stream *stream, const char *host, const char *path)
{
	char head[8192];
	size_t len = 0;
	int n = snprintf(head, sizeof(head),
		"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: pump\r\n\r\n", path,
		host);

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
	struct pump_stream *stream = calloc(1, sizeof(*stream));
	AUTO(kube_config) config = NULL;
	struct err err = ERR_INIT;
	curl_socket_t fd = -1;
	CURL *easy = curl_easy_init();

	if (!stream || !easy || kube_config_load(&overrides, &config, &err) < 0) {
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
	*stream = (struct pump_stream){
		.read = raw_read, .write = raw_write, .handle = easy, .fd = fd};
	return upgrade(stream, strstr(config->server, "//") + 2, path) == 0 ? stream : NULL;
}
