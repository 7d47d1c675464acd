/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/meta.h"

#include <netinet/in.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"

json_object *kube_condition(json_object *object, const char *type)
{
	for (size_t i = 0; i < json_count(object, "status.conditions"); i++) {
		json_object *condition = json_item(object, "status.conditions", i);

		if (strcmp(json_text_or(condition, "type", ""), type) == 0)
			return condition;
	}
	return NULL;
}

const char *kube_condition_status(json_object *object, const char *type)
{
	return json_text_or(kube_condition(object, type), "status", "");
}

json_object *kube_controller(json_object *object)
{
	for (size_t i = 0; i < json_count(object, "metadata.ownerReferences"); i++) {
		json_object *owner = json_item(object, "metadata.ownerReferences", i);

		if (json_object_get_boolean(json_member(owner, "controller")))
			return owner;
	}
	return NULL;
}

bool kube_port_has_protocol(json_object *port, int protocol)
{
	const char *text = json_text_or(port, "protocol", "TCP");

	return strcmp(text, protocol == IPPROTO_UDP ? "UDP" : "TCP") == 0;
}

char *kube_delete_options(const char *uid)
{
	return xasprintf("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
			 "\"preconditions\":{\"uid\":\"%s\"}}",
		uid);
}
