/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile pods at the agents' port: strangers, garbage, half handshakes, other people's papers. */
#include "tunnel/agent_fixture_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tunnel/join.h"
#include "tunnel/pipe.h"

/* Whether the loop may still be turned for something that should come: before the server's deadline
 * for handshakes, which would end them all. */
static bool in_time(struct agent_fixture *fixture, uint64_t *since_ms)
{
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	if (*since_ms == 0)
		*since_ms = uv_now(&fixture->loop);
	return uv_now(&fixture->loop) - *since_ms < LIMIT_HANDSHAKE_MS / 2;
}

/* A non-blocking socket to the server from 127.0.net.host. */
static int connect_from(const struct agent_fixture *fixture, uint8_t net, uint8_t host)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f000000U | (uint32_t)net << 8 | host)};
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(agent_server_port(fixture->server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Runs the loop until the server closes the connection; how many bytes it said before. */
static size_t hear_end(struct agent_fixture *fixture, int fd)
{
	uint8_t bytes[4096];
	uint64_t since_ms = 0;
	size_t heard = 0;
	ssize_t n;

	while (in_time(fixture, &since_ms)) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n > 0)
			heard += (size_t)n;
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			close(fd);
			return heard;
		}
	}
	fail_msg("the server keeps the connection");
	return heard;
}

static size_t say(
	struct agent_fixture *fixture, uint8_t net, uint8_t host, const void *bytes, size_t len)
{
	int fd = connect_from(fixture, net, host);

	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
	return hear_end(fixture, fd);
}

static void test_no_pod(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	int fd = connect_from(fixture, 1, 1);

	(void)state;
	assert_int_equal(hear_end(fixture, fd), 0);
	assert_int_equal(fixture->admits, 1);
	agent_fixture_free(fixture);
}

static void test_no_tls(void **state)
{
	/* The last one: TLS's first byte, then SSL 2's. */
	static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TPT/1\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x02\x01"};
	static const uint8_t hello_from_server[] = {0x16, 3, 3, 0, 4, 2, 0, 0, 0};
	static const uint8_t alert[] = {0x15, 3, 3, 0, 2, 2, 40};
	/* The right start, then a ClientHello of nothing, of garbage, and one that is too long. */
	static const uint8_t empty[] = {0x16, 3, 1, 0, 4, 1, 0, 0, 0};
	static const uint8_t garbage[] = {0x16, 3, 1, 0, 8, 1, 0, 0, 4, 'j', 'u', 'n', 'k'};
	static const uint8_t too_long[] = {0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff};
	struct agent_fixture *fixture = agent_fixture_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(say(fixture, 0, 1, texts[i], strlen(texts[i])), 0);
	assert_int_equal(say(fixture, 0, 1, hello_from_server, sizeof(hello_from_server)), 0);
	assert_int_equal(say(fixture, 0, 1, alert, sizeof(alert)), 0);
	assert_int_equal(say(fixture, 0, 1, empty, sizeof(empty)), 0);
	assert_int_equal(say(fixture, 0, 1, garbage, sizeof(garbage)), 0);
	assert_int_equal(say(fixture, 0, 1, too_long, sizeof(too_long)), 0);
	assert_int_equal(fixture->agents, 0);
	agent_fixture_free(fixture);
}

/* A ClientHello of the newest version that is not ours: no alert either. */
static void test_old_tls(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	BIO *out = BIO_new(BIO_s_mem());
	char *bytes = NULL;
	long len;
	SSL *ssl;

	(void)state;
	assert_int_equal(SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION), 1);
	ssl = SSL_new(tls);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	assert_int_equal(SSL_connect(ssl), -1);
	len = BIO_get_mem_data(out, &bytes);
	assert_true(len > 50);
	assert_int_equal(say(fixture, 0, 1, bytes, (size_t)len), 0);
	SSL_free(ssl);
	SSL_CTX_free(tls);
	agent_fixture_free(fixture);
}

/* A TLS client of the test: handshake, then the bytes; true when the server answers with any. */
static bool answered(struct agent_fixture *fixture, SSL_CTX *tls, const uint8_t *bytes, size_t len)
{
	SSL *ssl = SSL_new(tls);
	int fd = connect_from(fixture, 0, 1), r = -1, n = -1;
	uint64_t since_ms = 0;
	bool sent = false;
	uint8_t answer[64];

	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	while (n <= 0 && in_time(fixture, &since_ms)) {
		/* One queue for the server's connections and this one. */
		ERR_clear_error();
		if (r != 1)
			r = SSL_connect(ssl);
		if (r == 1 && !sent)
			sent = SSL_write(ssl, bytes, (int)len) == (int)len;
		n = sent ? SSL_read(ssl, answer, sizeof(answer)) : -1;
		if (n <= 0 && SSL_get_error(ssl, sent ? n : r) != SSL_ERROR_WANT_READ)
			break;
	}
	assert_true(sent);
	SSL_free(ssl);
	close(fd);
	agent_run_until(fixture, &fixture->gone, fixture->agents);
	return n > 0;
}

/* The record JOIN with a certificate of the pod. */
static size_t join_record(const char *pod_uid, uint8_t out[static JOIN_MAX_BYTES + 4])
{
	struct join join = {.kind = JOIN_CERTIFICATE};
	ssize_t n;

	memcpy(join.pod_uid, pod_uid, strlen(pod_uid));
	n = join_format(&join, out + 4);
	assert_true(n > 0);
	out[0] = PIPE_JOIN;
	out[1] = out[2] = 0;
	out[3] = (uint8_t)n;
	return (size_t)n + 4;
}

static X509 *issued(const struct identity *identity, EVP_PKEY *pkey, const char *pod_uid)
{
	uint8_t der[IDENTITY_CERT_DER_MAX], *spki = NULL;
	const uint8_t *in = der;
	int len = i2d_PUBKEY(pkey, &spki);
	struct err err = ERR_INIT;
	ssize_t n = identity_issue(identity, spki, (size_t)len, pod_uid, der, &err);
	X509 *cert;

	assert_true(n > 0);
	OPENSSL_free(spki);
	cert = d2i_X509(NULL, &in, n);
	assert_non_null(cert);
	return cert;
}

/* The certificate once more, signed by the identity's key, but for another use or time. */
static X509 *altered(
	const struct identity *identity, const X509 *cert, const char *usage, long not_after_s)
{
	char *pem = identity_pem(identity);
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	X509 *copy = X509_dup(cert);
	X509_EXTENSION *extension;
	int at = X509_get_ext_by_NID(copy, NID_ext_key_usage, -1);

	assert_true(at >= 0);
	X509_EXTENSION_free(X509_delete_ext(copy, at));
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, usage);
	assert_int_equal(X509_add_ext(copy, extension, -1), 1);
	X509_EXTENSION_free(extension);
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(copy), not_after_s));
	assert_true(X509_sign(copy, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
	BIO_free(bio);
	free(pem);
	return copy;
}

/* Whether a client with this certificate (or none) joins as that pod. Takes cert. */
static bool joins(struct agent_fixture *fixture, EVP_PKEY *pkey, X509 *cert, const char *pod_uid)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	uint8_t bytes[JOIN_MAX_BYTES + 4];
	int agents = fixture->agents;
	bool yes;

	if (cert) {
		assert_int_equal(SSL_CTX_use_certificate(tls, cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(tls, pkey), 1);
	}
	yes = answered(fixture, tls, bytes, join_record(pod_uid, bytes));
	assert_int_equal(fixture->agents, agents + (yes ? 1 : 0));
	X509_free(cert);
	SSL_CTX_free(tls);
	return yes;
}

static void test_certificates(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	struct identity *other = NULL;
	struct err err = ERR_INIT;
	X509 *good;

	(void)state;
	assert_int_equal(identity_new(&other, &err), 0);
	good = issued(fixture->identity, pkey, POD_UID);
	assert_true(joins(fixture, pkey, X509_dup(good), POD_UID));
	/* Good for as long as the pod lives, by any clock. */
	assert_true(
		joins(fixture, pkey, altered(fixture->identity, good, "clientAuth", -60), POD_UID));
	/* None, of another key, for another pod, or of another use. */
	assert_false(joins(fixture, NULL, NULL, POD_UID));
	assert_false(joins(fixture, pkey, issued(other, pkey, POD_UID), POD_UID));
	assert_false(joins(fixture, pkey, issued(fixture->identity, pkey, "other"), POD_UID));
	assert_false(joins(fixture, pkey, X509_dup(good), "other"));
	assert_false(joins(
		fixture, pkey, altered(fixture->identity, good, "serverAuth", 3600), POD_UID));
	assert_int_equal(fixture->agents, 2);
	X509_free(good);
	EVP_PKEY_free(pkey);
	identity_free(other);
	agent_fixture_free(fixture);
}

/* An agent's own certificate signs nobody: it is no authority. */
static void test_agent_signs(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	EVP_PKEY *agent = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *parent = issued(fixture->identity, agent, "other");
	X509 *child = issued(fixture->identity, pkey, POD_UID);
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	uint8_t bytes[JOIN_MAX_BYTES + 4];

	(void)state;
	assert_int_equal(X509_set_issuer_name(child, X509_get_subject_name(parent)), 1);
	assert_true(X509_sign(child, agent, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(tls, child), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(tls, pkey), 1);
	assert_int_equal(SSL_CTX_add1_chain_cert(tls, parent), 1);
	assert_false(answered(fixture, tls, bytes, join_record(POD_UID, bytes)));
	assert_int_equal(fixture->agents, 0);
	SSL_CTX_free(tls);
	X509_free(parent);
	X509_free(child);
	EVP_PKEY_free(agent);
	EVP_PKEY_free(pkey);
	agent_fixture_free(fixture);
}

static void test_bad_records(void **state)
{
	static const uint8_t records[][8] = {
		{PIPE_JOIN, 0, 0, 4, 9, 9, 9, 9}, /* malformed */
		{PIPE_JOIN, 0, 0x10, 0}, /* too long */
		{PIPE_DATA, 0, 0, 9}, /* before WELCOME */
		{PIPE_HELLO, 0, 0, 1, 1},
		{PIPE_WELCOME, 0, 0, 0},
		{0xff, 0xff, 0xff, 0xff},
	};
	struct agent_fixture *fixture = agent_fixture_new();
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		assert_false(answered(fixture, tls, records[i], sizeof(records[i])));
	assert_int_equal(fixture->agents, 0);
	SSL_CTX_free(tls);
	agent_fixture_free(fixture);
}

static bool is_open(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Half a ClientHello from so many: the oldest goes, a proven agent stays. One source of all these
 * costs only itself. */
static void test_half_handshakes(void **state)
{
	const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	static const uint8_t half[] = {0x16, 3, 1, 0, 200, 1, 0};
	struct agent_fixture *fixture = agent_fixture_new();
	static int fds[LIMIT_HANDSHAKES + 1];
	struct link_seen seen;
	int one[17];

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	agent_run_until(fixture, &seen.ready, 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_from(fixture, 0, (uint8_t)(2 + i / 16));
		assert_int_equal(send(fds[i], half, sizeof(half), MSG_NOSIGNAL), sizeof(half));
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(hear_end(fixture, fds[0]), 0);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++) {
		assert_true(is_open(fds[i]));
		close(fds[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(one); i++) {
		one[i] = connect_from(fixture, 0, 200);
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(hear_end(fixture, one[0]), 0);
	for (size_t i = 1; i < ARRAY_SIZE(one); i++) {
		assert_true(is_open(one[i]));
		close(one[i]);
	}
	assert_non_null(fixture->peer);
	assert_int_equal(seen.closed, 0);
	agent_link_free(seen.link);
	agent_run_until(fixture, &fixture->gone, 1);
	agent_fixture_free(fixture);
}

/* Out of descriptors: the server waits, and serves when there are some again. */
static void test_no_descriptors(void **state)
{
	struct agent_fixture *fixture = agent_fixture_new();
	struct rlimit before, none;
	struct link_seen seen;

	(void)state;
	agent_fixture_link(fixture, &seen, AGENT_CLIENT);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 10; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_int_equal(fixture->admits, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	agent_run_until(fixture, &seen.ready, 1);
	agent_link_free(seen.link);
	agent_run_until(fixture, &fixture->gone, 1);
	agent_fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_pod),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_old_tls),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_agent_signs),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test(test_half_handshakes),
		cmocka_unit_test(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
