/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/options.h - what the pod's spec tells an agent (docs/agent.md, section 1)
 *
 * Strings are borrowed from argv. The token is wiped in argv.
 */
#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H

#include <stdint.h>

#include "core/log.h"
#include "net/addr.h"
#include "netfilter/intercept_rules.h"
#include "tunnel/agent_link.h"

struct agent_options {
	struct ip_endpoint manager; /* its Service */
	struct ip_endpoint manager_pod; /* family 0: not told */
	uint8_t pin[IDENTITY_PIN_BYTES];
	uint8_t token[AGENT_TOKEN_BYTES];
	const char *pod_uid, *container, *name;
	struct ip_addr nodes[INTERCEPT_NODES];
	size_t node_count;
	enum log_level log_level;
};

/* Ends the process with 0 for --help and --version, with 2 and a message for what is wrong or
 * missing. */
void agent_options_parse(int argc, char **argv, struct agent_options *ret_options);

#endif /* AGENT_OPTIONS_H */
