/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a credential plugin, as text. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "cluster/exec_plugin.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/utc.h"

static char *copy_member(json_object *object, const char *key)
{
	const char *text = json_text(object, key);

	return text && *text ? xstrdup(text) : NULL;
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
	if (expires && utc_parse(expires, &answer->expires) < 0)
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
