/* fuzz: cluster */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/kube_watch.c - what an API server sends: watch lines, upgrade answers, statuses
 *
 * Input: one byte that chooses, then the bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cluster/exec_plugin.h"
#include "cluster/install_impl.h"
#include "cluster/json.h"
#include "cluster/watch_store.h"
#include "cluster/http_upgrade.h"
#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void watch_lines(const char *text, size_t len)
{
	struct watch_store store = {.items = NULL};
	json_object *vanished = NULL;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end ? (size_t)(end - text) : len;
		struct watch_line line = {.object = NULL};
		enum kube_event event = KUBE_ADDED;

		if (watch_line_parse(text, line_len, &line) == 0) {
			if (line.event == KUBE_DELETED)
				(void)watch_store_remove(&store, line.object);
			else
				(void)watch_store_put(&store, line.object, &event);
			json_object_put(line.object);
		}
		line_len += end ? 1 : 0;
		text += line_len;
		len -= line_len;
	}
	watch_store_begin_list(&store);
	while ((vanished = watch_store_take_vanished(&store)))
		json_object_put(vanished);
	assert(!store.items);
}

static void upgrade(const uint8_t *data, size_t size)
{
	const struct http_upgrade way = {"GET", "/", HTTP_UPGRADE_WEBSOCKET, "p"};
	struct http_upgrade_answer answer = {0};
	struct buf in;
	int r = 0;

	buf_init(&in, 4096);
	for (size_t i = 0; i < size && r == 0; i++) {
		r = buf_append(&in, data + i, 1);
		if (r == 0)
			r = http_upgrade_parse(
				&in, false, &way, "dGhlIHNhbXBsZSBub25jZQ==", &answer);
	}
	if (r == 0 && size > 0)
		assert(http_upgrade_parse(&in, true, &way, "k", &answer) != 0);
	buf_done(&in);
}

static void statuses(const char *text, size_t len)
{
	const struct kube_config config = {
		.server = (char[]){"https://s"}, .context = (char[]){"c"}};
	json_object *value = json_parse(text, len);
	struct exec_answer answer = {0};
	struct err err = ERR_INIT;

	for (int status = 400; value && status < 520; status += 3)
		assert(transport_status_error(&config, status, value, "GET /", &err) < 0);
	(void)install_pod_cause(value, "i", &err);
	(void)install_deployment_cause(value, &err);
	(void)install_deployment_ready(value);
	json_object_put(value);
	if (exec_answer_parse(text, len, &answer, &err) == 0)
		kube_credential_done(&answer.credential);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		watch_lines((const char *)data + 1, size - 1);
		break;
	case 1:
		upgrade(data + 1, size - 1);
		break;
	default:
		statuses((const char *)data + 1, size - 1);
		break;
	}
	return 0;
}
