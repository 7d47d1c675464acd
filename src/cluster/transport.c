/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/transport.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "cluster/kubefile.h"
#include "core/alloc.h"
#include "core/limits.h"

/* TCP and TLS set-up, proxies included. */
#define CONNECT_TIMEOUT_MS 10000
/* libcurl would go on with the server's former address for a minute. Long enough for the requests
 * of one connect. */
#define NAME_KEPT_S 2
/* A peer that went away without a word is noticed by unacknowledged bytes or missed keep-alives. */
#define DEAD_PEER_MS     15000
#define KEEP_ALIVE_S     5
#define KEEP_ALIVE_COUNT 3
/* Most time between two retransmissions (Linux 6.15), so that a path that is back is noticed. */
#define RETRANSMIT_MS 1000
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
/*
 * What fits into 1280 bytes (the least MTU of IPv6, RFC 8200 5) with both headers, either way.
 * Behind many VPNs larger packets vanish and the ICMP that would say so does too (RFC 2923 2.1);
 * the kernel finds that out only with tcp_mtu_probing, which is the machine's owner's to set. It
 * costs 0.8 % of a path of 1500.
 */
#define SEGMENT_BYTES 1220

void kube_credential_done(struct kube_credential *credential)
{
	secret_free(TAKE_PTR(credential->token));
	free(TAKE_PTR(credential->cert_pem));
	secret_free(TAKE_PTR(credential->key_pem));
}

static int on_sockopt(void *user, curl_socket_t fd, curlsocktype purpose)
{
	const int on = 1, dead_ms = DEAD_PEER_MS, idle = KEEP_ALIVE_S, count = KEEP_ALIVE_COUNT;
	const int unsent = LIMIT_CARRIER_UNSENT_BYTES, retransmit_ms = RETRANSMIT_MS;
	const int segment = SEGMENT_BYTES;

	(void)user;
	(void)purpose;
	/* Each only improves on a default; a socket without them works (and may be a proxy's). */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &retransmit_ms, sizeof(retransmit_ms));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	return CURL_SOCKOPT_OK;
}

const char *transport_base_path(const char *server)
{
	const char *host = strstr(server, "://");
	const char *path = host ? strchr(host + 3, '/') : NULL;

	return path ? path : "";
}

char *transport_host(const char *server)
{
	const char *host = strstr(server, "://");

	host = host ? host + 3 : server;
	return xstrndup(host, strcspn(host, "/"));
}

/* The port of "host:port" or "[v6]:port" with its colon, or "". */
static const char *port_of(const char *host)
{
	const char *end = strrchr(host, ']');
	const char *colon = strrchr(end ? end : host, ':');

	return colon ? colon : "";
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.flags = CURL_BLOB_COPY, .len = strlen(pem)};

	memcpy(&blob.data, &pem, sizeof(pem)); /* not const in libcurl's type, but copied */
	(void)curl_easy_setopt(easy, option, &blob);
}

static void setup_tls(
	CURL *easy, const struct kube_config *config, const struct kube_credential *credential)
{
	const char *cert = credential->cert_pem ? credential->cert_pem : config->cert_pem;
	const char *key = credential->key_pem ? credential->key_pem : config->key_pem;

	(void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	if (config->ca_pem) {
		/* Only this authority, not also those of the system. */
		set_blob(easy, CURLOPT_CAINFO_BLOB, config->ca_pem);
		(void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (config->insecure_skip_tls_verify) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (cert && key) {
		(void)curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
		(void)curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
		set_blob(easy, CURLOPT_SSLCERT_BLOB, cert);
		set_blob(easy, CURLOPT_SSLKEY_BLOB, key);
	}
}

static void setup_proxy(CURL *easy, const char *url)
{
	auto_free char *remote_dns = NULL;

	/* kubectl's socks5 lets the proxy resolve names; libcurl calls that socks5h. */
	if (strncmp(url, "socks5://", 9) == 0)
		remote_dns = xasprintf("socks5h://%s", url + 9);
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, remote_dns ? remote_dns : url);
	(void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
}

/* libcurl takes SNI and the name to verify from the URL: a tls-server-name goes there, and the
 * connection to the real place. */
static void setup_named_url(
	struct transport *transport, const struct kube_config *config, const char *path)
{
	auto_free char *host = transport_host(config->server);
	auto_free char *url = xasprintf("https://%s%s%s%s", config->tls_server_name, port_of(host),
		transport_base_path(config->server), path);
	auto_free char *connect_to = xasprintf("::%s%s", host, *port_of(host) ? "" : ":443");
	auto_free char *host_header = xasprintf("Host: %s", host);

	transport->connect_to = curl_slist_append(NULL, connect_to);
	(void)curl_easy_setopt(transport->easy, CURLOPT_CONNECT_TO, transport->connect_to);
	(void)curl_easy_setopt(transport->easy, CURLOPT_URL, url);
	transport_add_header(transport, host_header);
}

static void setup_url(
	struct transport *transport, const struct kube_config *config, const char *path)
{
	auto_free char *url = NULL;

	if (config->tls_server_name && strncmp(config->server, "https:", 6) == 0) {
		setup_named_url(transport, config, path);
		return;
	}
	url = xasprintf("%s%s", config->server, path);
	(void)curl_easy_setopt(transport->easy, CURLOPT_URL, url);
}

static void add_field(struct transport *transport, const char *name, const char *value)
{
	char *line = xasprintf("%s: %s", name, value);

	transport_add_header(transport, line);
	secret_free(line);
}

static void add_basic(struct transport *transport, const struct kube_config *config)
{
	char *pair = xasprintf("%s:%s", config->username, config->password ? config->password : "");
	char *text = base64_encode(pair, strlen(pair));
	char *value = NULL;

	value = xasprintf("Basic %s", text);
	add_field(transport, "Authorization", value);
	secret_free(pair);
	secret_free(text);
	secret_free(value);
}

static void add_identity(struct transport *transport, const struct kube_config *config,
	const struct kube_credential *credential)
{
	const char *token = credential->token ? credential->token : config->token;

	if (token) {
		char *value = xasprintf("Bearer %s", token);

		add_field(transport, "Authorization", value);
		secret_free(value);
	} else if (config->username) {
		add_basic(transport, config);
	}
	if (config->as)
		add_field(transport, "Impersonate-User", config->as);
	if (config->as_uid)
		add_field(transport, "Impersonate-Uid", config->as_uid);
	for (size_t i = 0; config->as_groups && config->as_groups[i]; i++)
		add_field(transport, "Impersonate-Group", config->as_groups[i]);
}

void transport_init(struct transport *transport, const struct kube_config *config,
	const struct kube_credential *credential, const char *path)
{
	CURL *easy = curl_easy_init();

	assert(easy);
	*transport = (struct transport){.easy = easy};
	setup_url(transport, config, path);
	setup_tls(easy, config, credential);
	if (config->proxy_url)
		setup_proxy(easy, config->proxy_url);
	add_identity(transport, config, credential);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transport->error);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)NAME_KEPT_S);
	(void)curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "telepresence/" TP_VERSION);
}

/* A line break in a token or a name must not become a header of its own. */
void transport_add_header(struct transport *transport, const char *line)
{
	char *clean = xstrdup(line);
	struct curl_slist *list = NULL;

	clean[strcspn(clean, "\r\n")] = 0;
	list = curl_slist_append(transport->headers, clean);
	assert(list);
	transport->headers = list;
	secret_free(clean);
}

void transport_done(struct transport *transport)
{
	curl_easy_cleanup(transport->easy);
	for (struct curl_slist *line = transport->headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transport->headers);
	curl_slist_free_all(transport->connect_to);
	*transport = (struct transport){.easy = NULL};
}
