/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/intercept_local.h"

#include <string.h>
#include <utlist.h>

#include "client/userd/intercept_priv.h"
#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/log.h"

static void on_start(uv_timer_t *timer)
{
	struct intercept *intercept = timer->data;

	log_info("local-only intercept", "name=%s namespace=%s", intercept->args.name,
		intercept->args.namespace);
	intercept_tell(intercept, 0, intercept_local_describe(intercept), NULL, NULL);
}

void intercept_local_start(struct intercept *intercept)
{
	intercept->state = INTERCEPT_LOCAL;
	(void)uv_timer_start(&intercept->timer, on_start, 0, 0);
}

json_object *intercept_local_describe(const struct intercept *intercept)
{
	const struct intercepts *set = intercept->set;
	json_object *out = json_object_new_object();
	auto_free char *id = xasprintf("%s:%s", set->session_uid, intercept->args.name);
	auto_free char *client = xasprintf("%s@%s", set->owner, set->host);

	json_put_string(out, "id", id);
	json_put_string(out, "name", intercept->args.name);
	json_put_string(out, "namespace", intercept->args.namespace);
	json_put_string(out, "disposition", "ACTIVE");
	json_put_string(out, "client", client);
	json_object_object_add(out, "local_only", json_object_new_boolean(true));
	json_put_string(out, "filter_desc", "no connections");
	json_object_object_add(out, "global", json_object_new_boolean(false));
	json_object_object_add(out, "ports", json_object_new_array());
	json_object_object_add(out, "pods", json_object_new_array());
	return out;
}

/* Those that somebody was told of: what is only being prepared changes no names. */
size_t intercepts_namespaces(const struct intercepts *set, const char **out, size_t max)
{
	const struct intercept *intercept = NULL;
	size_t count = 0;

	DL_FOREACH (set->list, intercept) {
		bool known = !intercept->told || intercept->state == INTERCEPT_END;

		for (size_t i = 0; i < count && !known; i++)
			known = strcmp(out[i], intercept->args.namespace) == 0;
		if (!known && count < max)
			out[count++] = intercept->args.namespace;
	}
	return count;
}
