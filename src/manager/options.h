/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/options.h - flags and environment of traffic-manager; nothing else configures it
 *
 * A flag wins over its variable. Strings are borrowed from argv and the environment.
 */
#ifndef MANAGER_OPTIONS_H
#define MANAGER_OPTIONS_H

#include <stdint.h>

#include "core/log.h"

#define MANAGER_PORT       8081
#define MANAGER_AGENT_PORT 8082

struct manager_options {
	uint16_t port, agent_port;
	const char *namespace; /* NULL: that of the service account */
	const char *pod; /* own name; NULL: not in a pod, so no agents are placed */
	const char *pod_ips; /* separated by commas; "" when unknown */
	const char *kubeconfig; /* NULL: the pod's service account */
	uint32_t agent_idle_s; /* an agent without an intercept ends itself after this */
	uint32_t session_ttl_s; /* a Session without a tunnel ends after this at the latest */
	enum log_level log_level;
};

/* Ends the process with 0 for --help and --version, with 2 and a message for what is wrong. */
void manager_options_parse(int argc, char **argv, struct manager_options *ret_options);

#endif /* MANAGER_OPTIONS_H */
