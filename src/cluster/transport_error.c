/* SPDX-License-Identifier: Apache-2.0 */
/* What failed requests mean to a person: server, cause, and what to do next. */
#include "cluster/transport.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "cluster/json.h"
#include "core/err.h"

/* How much of a server's message is repeated; the rest of err.msg is for what and why. */
#define MESSAGE_MAX 380
#define DATE_BYTES  16

/* Whether somebody else is to be asked for the way, as far as the settings say. */
static bool is_proxied(const struct kube_config *config)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return true;
	}
	return config->proxy_url;
}

static int connect_error(const struct transport *transport, CURLcode code,
	const struct kube_config *config, struct err *err)
{
	long os_error = 0;
	int r = -ECONNREFUSED;

	(void)curl_easy_getinfo(transport->easy, CURLINFO_OS_ERRNO, &os_error);
	if (os_error > 0 && code == CURLE_COULDNT_CONNECT)
		r = -(int)os_error;
	else if (code == CURLE_OPERATION_TIMEDOUT)
		r = -ETIMEDOUT;
	/* libcurl's words name whom it has tried. */
	if (is_proxied(config))
		return err_set(err, r, ERR_UNREACHABLE,
			"the API server %s is not reached through the proxy: %s; check proxy-url "
			"and https_proxy",
			config->server, transport->error);
	return err_set(err, r, ERR_UNREACHABLE,
		"the API server %s does not answer: %s; is the cluster running, and is this the "
		"right context (%s)?",
		config->server, r == -ETIMEDOUT ? transport->error : strerror(-r), config->context);
}

/* OpenSSL's words for a certificate that is too young or too old. */
static bool is_of_time(const char *error)
{
	return strstr(error, "not yet valid") || strstr(error, "has expired");
}

static int verify_error(
	const struct transport *transport, const struct kube_config *config, struct err *err)
{
	char now[32] = "";
	time_t wall = time(NULL);
	struct tm tm;

	if (is_of_time(transport->error) && gmtime_r(&wall, &tm)) {
		(void)strftime(now, sizeof(now), "%Y-%m-%d %H:%M UTC", &tm);
		return err_set(err, -EPROTO, ERR_CONFIG,
			"the certificate of %s does not verify: %s; is this machine's clock right? "
			"It says %s",
			config->server, transport->error, now);
	}
	return err_set(err, -EPROTO, ERR_CONFIG,
		"the certificate of %s does not verify: %s; check certificate-authority and "
		"tls-server-name of context %s",
		config->server, transport->error, config->context);
}

int transport_error(const struct transport *transport, CURLcode code,
	const struct kube_config *config, struct err *err)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(err, -EHOSTUNREACH, ERR_UNREACHABLE,
			"cannot find the API server %s: %s; check DNS and the server of context %s",
			config->server, transport->error, config->context);
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return err_set(err, -EHOSTUNREACH, ERR_UNREACHABLE,
			"the proxy on the way to %s fails: %s; check proxy-url and https_proxy",
			config->server, transport->error);
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
		return connect_error(transport, code, config, err);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return verify_error(transport, config, err);
	case CURLE_SSL_CERTPROBLEM:
		return err_set(err, -EACCES, ERR_CONFIG,
			"the client certificate of context %s cannot be used: %s", config->context,
			transport->error);
	case CURLE_FILESIZE_EXCEEDED:
		return err_set(err, -EFBIG, ERR_INTERNAL, "%s sends more than is accepted",
			config->server);
	default:
		if (strstr(transport->error, "CONNECT tunnel failed, response 407"))
			return err_set(err, -EACCES, ERR_AUTH,
				"the proxy on the way to %s does not accept who you are (407); "
				"check the user and the password in proxy-url or https_proxy",
				config->server);
		return err_set(err, -ECONNRESET, ERR_UNREACHABLE, "request to %s failed: %s",
			config->server,
			transport->error[0] ? transport->error : curl_easy_strerror(code));
	}
}

static const struct status_meaning {
	int status, code;
	enum err_kind kind;
} meanings[] = {
	{400, -EINVAL, ERR_INTERNAL},
	{404, -ENOENT, ERR_NOT_FOUND},
	{405, -EOPNOTSUPP, ERR_UNSUPPORTED},
	{409, -EAGAIN, ERR_CONFLICT},
	{410, -ESTALE, ERR_NOT_FOUND},
	{422, -EINVAL, ERR_INTERNAL},
	{429, -EBUSY, ERR_UNREACHABLE},
	{502, -EHOSTUNREACH, ERR_UNREACHABLE},
	{503, -EHOSTUNREACH, ERR_UNREACHABLE},
	{504, -ETIMEDOUT, ERR_UNREACHABLE},
};

/* When a certificate of the kubeconfig has ended, "2026-11-30"; empty: it is good, or is none. */
static void ended_on(const char *pem, char out[static DATE_BYTES])
{
	BIO *bio = pem ? BIO_new_mem_buf(pem, -1) : NULL;
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	const ASN1_TIME *end = certificate ? X509_get0_notAfter(certificate) : NULL;
	struct tm tm;

	out[0] = '\0';
	if (end && X509_cmp_current_time(end) < 0 && ASN1_TIME_to_tm(end, &tm) == 1)
		(void)strftime(out, DATE_BYTES, "%Y-%m-%d", &tm);
	X509_free(certificate);
	BIO_free(bio);
}

enum login_from {
	FROM_NOWHERE,
	FROM_PLUGIN,
	FROM_TOKEN_FILE,
	FROM_TOKEN,
	FROM_PASSWORD,
	FROM_CERTIFICATE
};

/* Where the kubeconfig has its user's credentials from, and how new ones are got. */
static const struct login {
	const char *from, *again;
} logins[] = {
	[FROM_NOWHERE] = {"",
		"log in to the cluster, so that kubectl works, or choose another context "
		"with --context"},
	[FROM_PLUGIN] = {"what comes from the credential plugin ",
		"log in with its own command, then try again"},
	[FROM_TOKEN_FILE] = {"the token file ", "put a new token there"},
	[FROM_TOKEN] = {"its token", "log in to the cluster again for a new one"},
	[FROM_PASSWORD] = {"its password", "correct it in the kubeconfig"},
	[FROM_CERTIFICATE] = {"its client certificate", "get a new kubeconfig, or log in again"},
};

static enum login_from login_from(const struct kube_config *config)
{
	return config->exec         ? FROM_PLUGIN
	       : config->token_file ? FROM_TOKEN_FILE
	       : config->token      ? FROM_TOKEN
	       : config->username   ? FROM_PASSWORD
	       : config->cert_pem   ? FROM_CERTIFICATE
				    : FROM_NOWHERE;
}

bool transport_is_anonymous(const struct kube_config *config)
{
	return login_from(config) == FROM_NOWHERE;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The server does not know who asks: nothing that an administrator's role could change. */
static int unknown_user(const struct kube_config *config, struct err *err)
{
	enum login_from from = login_from(config);
	const char *name = from == FROM_PLUGIN       ? base_name(config->exec->command)
			   : from == FROM_TOKEN_FILE ? config->token_file
						     : "";
	const char *hint =
		from == FROM_PLUGIN && config->exec->install_hint ? config->exec->install_hint : "";
	char date[DATE_BYTES];

	if (from == FROM_NOWHERE)
		return err_set(err, -EACCES, ERR_AUTH,
			"the user of context %s has no credentials in the kubeconfig: %s",
			config->context, logins[from].again);
	ended_on(config->cert_pem, date);
	return err_set(err, -EACCES, ERR_AUTH,
		"%s does not accept the credentials of context %s: %s%.60s has %s%s; %s%s%.60s",
		config->server, config->context, logins[from].from, name,
		date[0] ? "expired on " : "expired or is wrong", date, logins[from].again,
		*hint ? "; " : "", hint);
}

static int forbidden(
	const struct kube_config *config, const char *what, const char *message, struct err *err)
{
	if (strstr(message, "\"system:anonymous\"") ||
		(!*message && transport_is_anonymous(config)))
		return unknown_user(config, err);
	/* RBAC's text names user, verb, resource and namespace. Others say what else is in the way,
	 * which no role changes: a policy's rule, a quota, a namespace that is being deleted. */
	if (strstr(message, "User \"") && strstr(message, " cannot "))
		return err_set(err, -EACCES, ERR_PERMISSION,
			"%.*s; ask an administrator of the cluster for that right (ClusterRole "
			"telepresence-user)",
			MESSAGE_MAX, message);
	return err_set(err, *message ? -EPERM : -EACCES, ERR_PERMISSION, "%s forbids %s%s%.*s",
		config->server, what, *message ? ": " : "", MESSAGE_MAX, message);
}

int transport_status_error(const struct kube_config *config, int status, json_object *body,
	const char *what, struct err *err)
{
	const char *message = json_text_or(body, "message", "");
	struct status_meaning meaning = {status, -EIO, ERR_INTERNAL};

	if (status == 401)
		return unknown_user(config, err);
	if (status == 403)
		return forbidden(config, what, message, err);
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (meanings[i].status == status)
			meaning = meanings[i];
	}
	if (status == 409 && strcmp(json_text_or(body, "reason", ""), "AlreadyExists") == 0)
		meaning.code = -EEXIST;
	if (*message)
		return err_set(err, meaning.code, meaning.kind, "%.*s", MESSAGE_MAX, message);
	return err_set(err, meaning.code, meaning.kind, "%s answers %s with HTTP status %d",
		config->server, what, status);
}
