/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/environment.h - the app's environment, as the kubelet has given it to this process too
 *
 * Left out is what belongs to a container and not to its app: HOME, PATH, HOSTNAME and TERM.
 */
#ifndef AGENT_ENVIRONMENT_H
#define AGENT_ENVIRONMENT_H

#include <json-c/json.h>

#include "core/attr.h"

/* An object of strings, of at most `max` bytes as text; what does not fit is left out and counted.
 * variables as environ(7). */
NODISCARD json_object *environment_json(char *const *variables, size_t max, size_t *ret_left_out);

#endif /* AGENT_ENVIRONMENT_H */
