/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: agent */
/* What the manager says to an agent: lines that become configurations and expectations. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/control.h"
#include "cluster/json.h"
#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct control_config *config)
{
	const struct engine_config *engine = &config->engine;

	if (config->idle_s < 1 || config->idle_s > CONTROL_IDLE_MAX_S ||
		engine->port_count > INTERCEPT_PORTS || engine->node_count > INTERCEPT_NODES)
		abort();
	for (size_t i = 0; i < engine->port_count; i++) {
		if (engine->ports[i].port == 0 ||
			!memchr(engine->ports[i].intercept, 0, ENGINE_UID_BYTES))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_object *line = json_parse((const char *)data, size);
	struct control_config config;
	struct control_expect expect;
	struct err err = ERR_INIT;

	if (control_parse_config(line, &config, &err) == 0)
		check(&config);
	else if (!*err.msg)
		abort();
	if (control_parse_expect(line, &expect) == 0 &&
		(expect.port == 0 || expect.source.port == 0))
		abort();
	json_object_put(line);
	return 0;
}
