/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/auth.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <utlist.h>

#include "cluster/exec_plugin.h"
#include "cluster/kubefile.h"
#include "core/alloc.h"
#include "core/err.h"

/* A plugin's credential is renewed this long before it expires: clocks differ. */
#define EXPIRY_MARGIN_S 30

struct kube_auth_wait {
	struct kube_auth_wait *prev, *next;
	kube_auth_fn fn;
	void *user;
};

struct kube_auth {
	uv_loop_t *loop;
	const struct kube_config *config;
	struct kube_credential credential; /* what file or plugin gave last */
	struct timespec file_time; /* st_mtim of the token file when it was read */
	time_t expires; /* of the plugin's credential; 0: never */
	struct exec_plugin *running;
	struct kube_auth_wait *waiting;
};

struct kube_auth *kube_auth_new(uv_loop_t *loop, const struct kube_config *config)
{
	struct kube_auth *auth = XNEW(struct kube_auth);

	auth->loop = loop;
	auth->config = config;
	return auth;
}

void kube_auth_free(struct kube_auth *auth)
{
	struct kube_auth_wait *wait = NULL, *next = NULL;

	if (!auth)
		return;
	exec_plugin_cancel(auth->running);
	DL_FOREACH_SAFE (auth->waiting, wait, next)
		free(wait);
	kube_credential_done(&auth->credential);
	free(auth);
}

/* As kubectl: what is around the token is none of it. */
static void trim(char *text)
{
	const char *begin = text + strspn(text, " \t\r\n");
	size_t len = strlen(begin);

	while (len > 0 && strchr(" \t\r\n", begin[len - 1]))
		len--;
	memmove(text, begin, len);
	text[len] = '\0';
}

/* Kubernetes rotates a projected token by replacing the file. */
static int refresh_file(struct kube_auth *auth, struct err *err)
{
	const char *path = auth->config->token_file;
	struct stat st;
	char *text = NULL;
	int r = 0;

	if (stat(path, &st) < 0)
		return err_set_errno(err, -errno, "cannot read the token file %s", path);
	if (auth->credential.token && st.st_mtim.tv_sec == auth->file_time.tv_sec &&
		st.st_mtim.tv_nsec == auth->file_time.tv_nsec)
		return 0;
	r = read_text_file(path, &text, NULL, err);
	if (r < 0)
		return r;
	trim(text);
	if (!*text) {
		free(text);
		return err_set(err, -ENODATA, ERR_AUTH, "the token file %s is empty", path);
	}
	secret_free(auth->credential.token);
	auth->credential.token = text;
	auth->file_time = st.st_mtim;
	return 0;
}

static bool plugin_fresh(const struct kube_auth *auth)
{
	const struct kube_credential *credential = &auth->credential;

	if (!credential->token && !credential->cert_pem)
		return false;
	return auth->expires == 0 || time(NULL) + EXPIRY_MARGIN_S < auth->expires;
}

static void on_plugin_done(
	void *user, int r, const struct exec_answer *answer, const struct err *err)
{
	struct kube_auth *auth = user;
	struct kube_auth_wait *wait = NULL;

	auth->running = NULL;
	kube_credential_done(&auth->credential);
	if (r == 0) {
		auth->credential = answer->credential;
		auth->expires = answer->expires;
	}
	while ((wait = auth->waiting)) {
		DL_DELETE(auth->waiting, wait);
		wait->fn(wait->user, r, &auth->credential, err);
		free(wait);
	}
}

void kube_auth_get(
	struct kube_auth *auth, kube_auth_fn fn, void *user, struct kube_auth_wait **ret_wait)
{
	struct err err = ERR_INIT;
	struct kube_auth_wait *wait = NULL;
	int r = 0;

	*ret_wait = NULL;
	if (auth->config->token_file)
		r = refresh_file(auth, &err);
	if (r < 0 || !auth->config->exec || plugin_fresh(auth)) {
		fn(user, r, &auth->credential, &err);
		return;
	}
	wait = XNEW(struct kube_auth_wait);
	wait->fn = fn;
	wait->user = user;
	DL_APPEND(auth->waiting, wait);
	*ret_wait = wait;
	if (!auth->running)
		auth->running = exec_plugin_run(auth->loop, auth->config, on_plugin_done, auth);
}

void kube_auth_cancel(struct kube_auth *auth, struct kube_auth_wait *wait)
{
	if (!wait)
		return;
	DL_DELETE(auth->waiting, wait);
	free(wait);
}

bool kube_auth_refused(struct kube_auth *auth)
{
	if (!auth->config->exec && !auth->config->token_file)
		return false;
	kube_credential_done(&auth->credential);
	return true;
}
