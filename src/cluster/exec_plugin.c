/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/exec_plugin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cluster/secret.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"

/* Plugins talk to identity providers, and some let a person log in by a browser. */
#define EXEC_PLUGIN_TIMEOUT_MS 120000
/* A token and two PEM texts. */
#define EXEC_OUTPUT_BYTES (256 * 1024)
#define EXEC_STDERR_BYTES (4 * 1024)
#define SAID_BYTES        200 /* of it in an error */

struct exec_plugin {
	uv_process_t process;
	uv_pipe_t out, diag; /* its stdout and stderr */
	uv_timer_t timer;
	unsigned int open_handles;
	struct buf output, diagnosis;
	const struct kube_config *config;
	exec_plugin_fn on_done;
	void *user;
	int64_t exit_status;
	int signal, spawn_error;
	bool has_process; /* `process` is a handle of the loop */
	bool exited; /* or never started: there is nothing to reap */
	bool out_closed, timed_out, overflow, finished;
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct exec_plugin *plugin = handle->data;

	if (--plugin->open_handles > 0)
		return;
	if (plugin->output.data)
		explicit_bzero(plugin->output.data, plugin->output.cap);
	buf_done(&plugin->output);
	buf_done(&plugin->diagnosis);
	free(plugin);
}

static void close_all(struct exec_plugin *plugin)
{
	plugin->finished = true;
	/* libuv reaps a child only while its handle is open. */
	if (plugin->has_process && plugin->exited)
		uv_close((uv_handle_t *)&plugin->process, on_handle_closed);
	uv_close((uv_handle_t *)&plugin->out, on_handle_closed);
	uv_close((uv_handle_t *)&plugin->diag, on_handle_closed);
	uv_close((uv_handle_t *)&plugin->timer, on_handle_closed);
}

/* What it wrote to stderr, without the lines' ends around it. */
static const char *diagnosis(struct exec_plugin *plugin, int *ret_len)
{
	const char *said = buf_cstr(&plugin->diagnosis);
	size_t len;

	said = said ? said + strspn(said, "\r\n") : "";
	len = MIN(strlen(said), SAID_BYTES);
	while (len > 0 && strchr("\r\n", said[len - 1]))
		len--;
	*ret_len = (int)len;
	return said;
}

static int failure(struct exec_plugin *plugin, struct err *err)
{
	const struct kube_exec *exec = plugin->config->exec;
	int said_len = 0;
	const char *said = diagnosis(plugin, &said_len);
	const char *hint = exec->install_hint ? exec->install_hint : "";

	if (plugin->spawn_error < 0)
		return err_set(err, plugin->spawn_error, ERR_AUTH,
			"cannot run the credential plugin %s of context %s: %s%s%.200s",
			exec->command, plugin->config->context, strerror(-plugin->spawn_error),
			*hint ? "; " : "", hint);
	if (plugin->timed_out)
		return err_set(err, -ETIMEDOUT, ERR_AUTH,
			"the credential plugin %s gave no answer within %d s", exec->command,
			EXEC_PLUGIN_TIMEOUT_MS / 1000);
	if (plugin->overflow)
		return err_set(err, -EFBIG, ERR_AUTH, "the credential plugin %s prints too much",
			exec->command);
	if (plugin->exit_status != 0 || plugin->signal != 0)
		return err_set(err, -EACCES, ERR_AUTH,
			"the credential plugin %s failed (%s %d): %.*s", exec->command,
			plugin->signal ? "signal" : "exit status",
			plugin->signal ? plugin->signal : (int)plugin->exit_status, said_len, said);
	return 0;
}

static void finish(struct exec_plugin *plugin)
{
	struct exec_answer answer = {0};
	struct err err = ERR_INIT;
	int r = failure(plugin, &err);

	if (r == 0) {
		r = exec_answer_parse((const char *)buf_head(&plugin->output),
			buf_len(&plugin->output), &answer, &err);
		if (r < 0)
			err_wrap(&err, r, "credential plugin %s", plugin->config->exec->command);
	}
	close_all(plugin);
	plugin->on_done(plugin->user, r, &answer, &err);
}

static void maybe_finish(struct exec_plugin *plugin)
{
	if (plugin->exited && plugin->out_closed)
		finish(plugin);
}

static void kill_child(struct exec_plugin *plugin)
{
	if (!plugin->exited)
		(void)uv_process_kill(&plugin->process, SIGKILL);
}

static void on_timer(uv_timer_t *timer)
{
	struct exec_plugin *plugin = timer->data;

	/* spawn_error also comes this way: the caller is never called from within the start. */
	plugin->timed_out = plugin->spawn_error == 0;
	kill_child(plugin);
	finish(plugin);
}

static void on_exit_status(uv_process_t *process, int64_t exit_status, int term_signal)
{
	struct exec_plugin *plugin = process->data;

	plugin->exited = true;
	plugin->exit_status = exit_status;
	plugin->signal = term_signal;
	if (plugin->finished)
		uv_close((uv_handle_t *)process, on_handle_closed);
	else
		maybe_finish(plugin);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	struct exec_plugin *plugin = handle->data;
	struct buf *buf =
		handle == (uv_handle_t *)&plugin->out ? &plugin->output : &plugin->diagnosis;
	size_t want = MIN(MIN(suggested, buf_room(buf)), (size_t)16 * 1024);

	/* A full buffer reads as UV_ENOBUFS. */
	ret_buf->base = want > 0 ? (char *)buf_reserve(buf, want) : NULL;
	ret_buf->len = want;
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
	struct exec_plugin *plugin = stream->data;

	(void)data;
	if (n > 0) {
		buf_commit(&plugin->output, (size_t)n);
	} else if (n < 0) {
		plugin->overflow = n == UV_ENOBUFS;
		uv_read_stop(stream);
		plugin->out_closed = true;
		if (plugin->overflow)
			kill_child(plugin);
		maybe_finish(plugin);
	}
}

static void on_diagnosis(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
	struct exec_plugin *plugin = stream->data;

	(void)data;
	if (n > 0)
		buf_commit(&plugin->diagnosis, (size_t)n);
	else if (n < 0)
		uv_read_stop(stream);
}

static json_object *exec_info(const struct kube_config *config)
{
	json_object *info = json_object_new_object(), *spec = json_object_new_object();

	json_object_object_add(
		info, "apiVersion", json_object_new_string(config->exec->api_version));
	json_object_object_add(info, "kind", json_object_new_string("ExecCredential"));
	json_object_object_add(spec, "interactive", json_object_new_boolean(false));
	if (config->exec->provide_cluster_info) {
		json_object *cluster = json_object_new_object();

		json_object_object_add(cluster, "server", json_object_new_string(config->server));
		if (config->tls_server_name)
			json_object_object_add(cluster, "tls-server-name",
				json_object_new_string(config->tls_server_name));
		if (config->insecure_skip_tls_verify)
			json_object_object_add(
				cluster, "insecure-skip-tls-verify", json_object_new_boolean(true));
		if (config->ca_pem) {
			char *text = base64_encode(config->ca_pem, strlen(config->ca_pem));

			json_object_object_add(cluster, "certificate-authority-data",
				json_object_new_string(text));
			free(text);
		}
		json_object_object_add(spec, "cluster", cluster);
	}
	json_object_object_add(info, "spec", spec);
	return info;
}

/* Ours, then the plugin's own, then what the protocol adds. The strings are borrowed. */
static char **make_env(const struct kube_exec *exec, char *info)
{
	size_t own = 0, extra = 0, at = 0;
	char **env = NULL;

	while (environ[own])
		own++;
	while (exec->env && exec->env[extra])
		extra++;
	env = xcalloc(own + extra + 2, sizeof(*env));
	env[at++] = info;
	/* The first of equal names is what getenv() finds. */
	for (size_t i = 0; i < extra; i++)
		env[at++] = exec->env[i];
	for (size_t i = 0; i < own; i++)
		env[at++] = environ[i];
	return env;
}

static int spawn(struct exec_plugin *plugin, uv_loop_t *loop, int out_fd, int diag_fd)
{
	const struct kube_exec *exec = plugin->config->exec;
	json_object *info = exec_info(plugin->config);
	auto_free char *info_env = xasprintf("KUBERNETES_EXEC_INFO=%s",
		json_object_to_json_string_ext(info, JSON_C_TO_STRING_PLAIN));
	auto_free char **env = make_env(exec, info_env);
	auto_free char **argv = NULL;
	size_t argc = 0;
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = out_fd},
		{.flags = UV_INHERIT_FD, .data.fd = diag_fd},
	};
	uv_process_options_t options = {.file = exec->command,
		.exit_cb = on_exit_status,
		.stdio = stdio,
		.stdio_count = ARRAY_SIZE(stdio)};

	while (exec->args && exec->args[argc])
		argc++;
	argv = xcalloc(argc + 2, sizeof(*argv));
	argv[0] = exec->command;
	for (size_t i = 0; i < argc; i++)
		argv[i + 1] = exec->args[i];
	json_object_put(info);
	options.args = argv;
	options.env = env;
	/* Also when it fails. */
	plugin->has_process = true;
	plugin->open_handles++;
	return uv_spawn(loop, &plugin->process, &options);
}

/* The reading end becomes a handle of the loop, the other the child's. */
static int open_pipe(uv_pipe_t *handle, int *ret_child_fd)
{
	uv_file fds[2] = {-1, -1};
	int r = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);

	if (r == 0)
		r = uv_pipe_open(handle, fds[0]);
	if (r < 0 && fds[0] >= 0) {
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (r == 0)
		*ret_child_fd = fds[1];
	return r;
}

static int start(struct exec_plugin *plugin, uv_loop_t *loop)
{
	auto_close int out_fd = -1;
	auto_close int diag_fd = -1;
	int r = open_pipe(&plugin->out, &out_fd);

	if (r == 0)
		r = open_pipe(&plugin->diag, &diag_fd);
	return r < 0 ? r : spawn(plugin, loop, out_fd, diag_fd);
}

struct exec_plugin *exec_plugin_run(
	uv_loop_t *loop, const struct kube_config *config, exec_plugin_fn on_done, void *user)
{
	struct exec_plugin *plugin = XNEW(struct exec_plugin);

	plugin->config = config;
	plugin->on_done = on_done;
	plugin->user = user;
	buf_init(&plugin->output, EXEC_OUTPUT_BYTES);
	buf_init(&plugin->diagnosis, EXEC_STDERR_BYTES);
	uv_timer_init(loop, &plugin->timer);
	uv_pipe_init(loop, &plugin->out, 0);
	uv_pipe_init(loop, &plugin->diag, 0);
	plugin->open_handles = 3;
	plugin->timer.data = plugin->out.data = plugin->diag.data = plugin->process.data = plugin;
	plugin->spawn_error = start(plugin, loop);
	if (plugin->spawn_error < 0) {
		plugin->exited = true;
		uv_timer_start(&plugin->timer, on_timer, 0, 0);
		return plugin;
	}
	uv_timer_start(&plugin->timer, on_timer, EXEC_PLUGIN_TIMEOUT_MS, 0);
	(void)uv_read_start((uv_stream_t *)&plugin->out, on_alloc, on_output);
	(void)uv_read_start((uv_stream_t *)&plugin->diag, on_alloc, on_diagnosis);
	return plugin;
}

void exec_plugin_cancel(struct exec_plugin *plugin)
{
	if (!plugin || plugin->finished)
		return;
	kill_child(plugin);
	close_all(plugin);
}
