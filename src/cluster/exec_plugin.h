/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/exec_plugin.h - runs a kubeconfig's credential plugin (client.authentication.k8s.io)
 *
 * Internal to the folder. A child process without standard input, ended after
 * EXEC_PLUGIN_TIMEOUT_MS; its answer is an ExecCredential object of at most EXEC_OUTPUT_BYTES.
 */
#ifndef CLUSTER_EXEC_PLUGIN_H
#define CLUSTER_EXEC_PLUGIN_H

#include <time.h>
#include <uv.h>

#include "cluster/transport.h"

struct exec_plugin;

struct exec_answer {
	struct kube_credential credential; /* the callee's from now on */
	time_t expires; /* 0: never */
};

typedef void (*exec_plugin_fn)(
	void *user, int r, const struct exec_answer *answer, const struct err *err);

/* config is borrowed and outlives it. on_done is called once, from the loop. */
struct exec_plugin *exec_plugin_run(
	uv_loop_t *loop, const struct kube_config *config, exec_plugin_fn on_done, void *user);
/* Ends the child; on_done is not called. NULL-safe; deferred until the child is reaped. */
void exec_plugin_cancel(struct exec_plugin *plugin);

/* The ExecCredential in text: 0, or -EPROTO. */
NODISCARD int exec_answer_parse(
	const char *text, size_t len, struct exec_answer *ret_answer, struct err *err);

#endif /* CLUSTER_EXEC_PLUGIN_H */
