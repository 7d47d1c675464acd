/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a credential plugin, as text. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "cluster/exec_plugin.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"

static char *copy_member(json_object *object, const char *key)
{
	const char *text = json_text(object, key);

	return text && *text ? xstrdup(text) : NULL;
}

/* RFC 3339 in UTC, as Kubernetes writes times: "2026-01-31T12:00:00Z". */
static int parse_time(const char *text, time_t *ret_time)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!end || (*end != 'Z' && *end != '.' && *end != '+' && *end != '-'))
		return -EINVAL;
	*ret_time = timegm(&tm);
	if (*end == '+' || *end == '-') {
		struct tm zone = {0};
		const char *rest = strptime(end + 1, "%H:%M", &zone);
		long offset_s = zone.tm_hour * 3600L + zone.tm_min * 60L;

		if (!rest || *rest)
			return -EINVAL;
		*ret_time += *end == '+' ? -offset_s : offset_s;
	}
	return 0;
}

static int read_status(json_object *status, struct exec_answer *answer, struct err *err)
{
	struct kube_credential *credential = &answer->credential;
	const char *expires = json_text(status, "expirationTimestamp");

	credential->token = copy_member(status, "token");
	credential->cert_pem = copy_member(status, "clientCertificateData");
	credential->key_pem = copy_member(status, "clientKeyData");
	if (!credential->token && !credential->cert_pem)
		return err_set(err, -EPROTO, ERR_AUTH, "the answer has no credential");
	if (!credential->cert_pem != !credential->key_pem)
		return err_set(err, -EPROTO, ERR_AUTH,
			"the answer has only one of clientCertificateData and clientKeyData");
	if (expires && parse_time(expires, &answer->expires) < 0)
		return err_set(err, -EPROTO, ERR_AUTH, "expirationTimestamp \"%.40s\" is no time",
			expires);
	return 0;
}

int exec_answer_parse(const char *text, size_t len, struct exec_answer *ret_answer, struct err *err)
{
	struct exec_answer answer = {0};
	json_object *root = json_parse(text, len);
	int r = 0;

	if (!root || strcmp(json_text_or(root, "kind", ""), "ExecCredential") != 0)
		r = err_set(err, -EPROTO, ERR_AUTH, "the answer is no ExecCredential object");
	else
		r = read_status(json_member(root, "status"), &answer, err);
	json_object_put(root);
	if (r < 0) {
		kube_credential_done(&answer.credential);
		return r;
	}
	*ret_answer = answer;
	return 0;
}
