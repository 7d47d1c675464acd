/* SPDX-License-Identifier: Apache-2.0 */
/* Token files that change, and credential plugins: real child processes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cluster/auth.h"
#include "cluster/exec_plugin.h"
#include "core/alloc.h"
#include "core/err.h"

struct got {
	int calls, r;
	char token[64], msg[ERR_MSG_BYTES];
};

static void on_credential(
	void *user, int r, const struct kube_credential *credential, const struct err *err)
{
	struct got *got = user;

	got->calls++;
	got->r = r;
	(void)snprintf(got->token, sizeof(got->token), "%s",
		r == 0 && credential->token ? credential->token : "");
	(void)snprintf(got->msg, sizeof(got->msg), "%s", r < 0 ? err->msg : "");
}

static void write_token(const char *path, const char *text, long mtime_s)
{
	const struct timespec times[2] = {{.tv_sec = mtime_s}, {.tv_sec = mtime_s}};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void test_token_file_is_read_again(void **state UNUSED)
{
	char path[] = "/tmp/test-token-XXXXXX";
	int fd = mkstemp(path);
	const struct kube_config config = {.token_file = path};
	struct kube_auth *auth = kube_auth_new(uv_default_loop(), &config);
	struct kube_auth_wait *wait = NULL;
	struct got got = {0};

	assert_true(fd >= 0);
	close(fd);
	write_token(path, "one\n", 1000);
	kube_auth_get(auth, on_credential, &got, &wait);
	assert_string_equal(got.token, "one");
	write_token(path, " \t two\r\n\n", 2000);
	kube_auth_get(auth, on_credential, &got, &wait);
	assert_string_equal(got.token, "two");
	write_token(path, "\n", 3000);
	kube_auth_get(auth, on_credential, &got, &wait);
	assert_int_equal(got.r, -ENODATA);
	assert_non_null(strstr(got.msg, "is empty"));
	assert_null(wait);
	assert_int_equal(unlink(path), 0);
	kube_auth_get(auth, on_credential, &got, &wait);
	assert_int_equal(got.r, -ENOENT);
	assert_non_null(strstr(got.msg, path));
	kube_auth_free(auth);
}

/* Runs a shell script as the plugin; both waiters get its one answer. */
static struct got run_plugin(const char *script)
{
	uv_loop_t loop;
	char *args[] = {(char[]){"-c"}, xstrdup(script), NULL};
	char *env[] = {(char[]){"EXTRA=from-config"}, NULL};
	struct kube_exec exec = {.api_version = (char[]){"client.authentication.k8s.io/v1"},
		.command = (char[]){"sh"},
		.args = args,
		.env = env,
		.provide_cluster_info = true};
	const struct kube_config config = {.exec = &exec,
		.context = (char[]){"ctx"},
		.server = (char[]){"https://api.example"}};
	struct kube_auth *auth = NULL;
	struct kube_auth_wait *wait = NULL, *other = NULL;
	struct got got = {0};

	assert_int_equal(uv_loop_init(&loop), 0);
	auth = kube_auth_new(&loop, &config);
	kube_auth_get(auth, on_credential, &got, &wait);
	kube_auth_get(auth, on_credential, &got, &other);
	assert_non_null(wait);
	assert_int_equal(got.calls, 0);
	while (got.calls < 2)
		uv_run(&loop, UV_RUN_ONCE);
	/* A good answer is kept: the next call needs no process. */
	if (got.r == 0) {
		kube_auth_get(auth, on_credential, &got, &wait);
		assert_int_equal(got.calls, 3);
	}
	kube_auth_free(auth);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(args[1]);
	return got;
}

static void test_plugin_answers(void **state UNUSED)
{
	struct got got = run_plugin(
		"case $KUBERNETES_EXEC_INFO in *'\"server\":\"https:'*api.example*) ;; *) exit 9;; "
		"esac;"
		"echo '{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$EXTRA'\"}}'");

	assert_string_equal(got.msg, "");
	assert_string_equal(got.token, "from-config");
}

static void test_plugin_failures(void **state UNUSED)
{
	static const struct {
		const char *script, *message;
	} cases[] = {
		{"echo 'please log in' >&2; exit 3", "exit status 3): please log in"},
		{"printf '\\nlog in\\r\\n' >&2; exit 3", "exit status 3): log in"},
		{"kill -9 $$", "signal 9"},
		{"echo nonsense", "no ExecCredential"},
		{"echo '{\"kind\":\"ExecCredential\",\"status\":{}}'", "no credential"},
		{"head -c 1000000 /dev/zero", "prints too much"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct got got = run_plugin(cases[i].script);

		assert_true(got.r < 0);
		if (!strstr(got.msg, cases[i].message))
			fail_msg("case %zu: %s", i, got.msg);
	}
}

static void test_missing_plugin(void **state UNUSED)
{
	struct kube_exec exec = {.api_version = (char[]){"client.authentication.k8s.io/v1"},
		.command = (char[]){"/nonexistent/login"},
		.install_hint = (char[]){"install the login tool"}};
	const struct kube_config config = {.exec = &exec, .context = (char[]){"ctx"}};
	struct kube_auth *auth = kube_auth_new(uv_default_loop(), &config);
	struct kube_auth_wait *wait = NULL;
	struct got got = {0};

	kube_auth_get(auth, on_credential, &got, &wait);
	assert_int_equal(got.calls, 0);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	assert_int_equal(got.r, -ENOENT);
	assert_non_null(strstr(got.msg, "install the login tool"));
	kube_auth_free(auth);
}

/* A plugin that hangs does not keep its owner from going. */
static void test_free_while_running(void **state UNUSED)
{
	char *args[] = {(char[]){"60"}, NULL};
	struct kube_exec exec = {.api_version = (char[]){"client.authentication.k8s.io/v1"},
		.command = (char[]){"sleep"},
		.args = args};
	const struct kube_config config = {.exec = &exec, .context = (char[]){"ctx"}};
	struct kube_auth *auth = kube_auth_new(uv_default_loop(), &config);
	struct kube_auth_wait *wait = NULL;
	struct got got = {0};

	kube_auth_get(auth, on_credential, &got, &wait);
	kube_auth_free(auth);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	assert_int_equal(got.calls, 0);
	/* Nor does it stay as a zombie. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* However far the start of a plugin gets until there is no descriptor left. */
static void test_no_descriptors(void **state UNUSED)
{
	struct kube_exec exec = {.api_version = (char[]){"client.authentication.k8s.io/v1"},
		.command = (char[]){"true"}};
	const struct kube_config config = {.exec = &exec, .context = (char[]){"ctx"}};
	struct rlimit before, limit;
	int next;

	/* The loop has all of its own. */
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (rlim_t left = 0; left < 8; left++) {
		struct kube_auth *auth = kube_auth_new(uv_default_loop(), &config);
		struct kube_auth_wait *wait = NULL;
		struct got got = {0};

		limit = before;
		limit.rlim_cur = (rlim_t)next + left;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		kube_auth_get(auth, on_credential, &got, &wait);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		uv_run(uv_default_loop(), UV_RUN_DEFAULT);
		assert_int_equal(got.calls, 1);
		assert_true(got.r < 0);
		if (left == 0)
			assert_int_equal(got.r, -EMFILE);
		kube_auth_free(auth);
	}
}

static void test_expiry(void **state UNUSED)
{
	static const struct {
		const char *time;
		int r;
		long expires;
	} cases[] = {
		{"2026-01-31T12:00:00Z", 0, 1769860800},
		{"2026-01-31T12:00:00.123456Z", 0, 1769860800},
		{"2026-01-31T14:00:00.123456+02:00", 0, 1769860800},
		{"tomorrow", -EPROTO, 0},
		{"2026-01-31T12:00:00", -EPROTO, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text =
			xasprintf("{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t\","
				  "\"expirationTimestamp\":\"%s\"}}",
				cases[i].time);
		struct exec_answer answer = {0};

		assert_int_equal(exec_answer_parse(text, strlen(text), &answer, NULL), cases[i].r);
		assert_int_equal(answer.expires, cases[i].expires);
		kube_credential_done(&answer.credential);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_file_is_read_again),
		cmocka_unit_test(test_plugin_answers),
		cmocka_unit_test(test_plugin_failures),
		cmocka_unit_test(test_missing_plugin),
		cmocka_unit_test(test_free_while_running),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_expiry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
