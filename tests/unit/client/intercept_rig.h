/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/client/intercept_rig.h - intercepts on an API server of canned answers, without a
 * tunnel
 */
#ifndef TESTS_INTERCEPT_RIG_H
#define TESTS_INTERCEPT_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/userd/intercepts.h"
#include "client/userd/uplink.h"
#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "core/err.h"
#include "tunnel/key.h"

struct rule {
	const char *expects; /* how the request begins, or a part of it */
	int status;
	const char *body;
	bool once;
};

struct rig {
	uv_loop_t loop;
	struct fake_api api;
	struct kube_client *client;
	struct session_key *key;
	struct uplink uplink;
	struct intercepts *set;
	const struct rule *rules; /* ended by one without expects */
	bool used[16];
	char log[1024]; /* requests that change something */
	char last_post[4096];
	uv_timer_t deadline;
	bool late; /* it has passed */
};

struct answer {
	struct intercept_wait wait;
	bool done;
	int r;
	struct err err;
	char hint[512], progress[256];
};

static inline void note(struct rig *rig, const char *head)
{
	size_t len = strlen(rig->log);

	if (strncmp(head, "GET", 3) == 0)
		return;
	(void)snprintf(rig->log + len, sizeof(rig->log) - len, "%c", head[0]);
	if (head[0] == 'P')
		(void)snprintf(rig->last_post, sizeof(rig->last_post), "%s", head);
}

static inline char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);

	note(rig, head);
	for (size_t i = 0; rig->rules[i].expects; i++) {
		const struct rule *rule = &rig->rules[i];

		if (rig->used[i] || !strstr(head, rule->expects))
			continue;
		rig->used[i] = rule->once;
		return rule->body ? fake_json(rule->status, rule->body) : NULL;
	}
	return fake_json(404, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
}

static inline void on_progress(void *user, const char *line)
{
	struct answer *answer = user;

	(void)snprintf(answer->progress, sizeof(answer->progress), "%s", line);
}

static inline void on_done(
	void *user, int r, json_object *result, const struct err *err, const char *hint)
{
	struct answer *answer = user;

	assert_false(answer->done);
	answer->done = true;
	answer->r = r;
	if (r < 0)
		answer->err = *err;
	(void)snprintf(answer->hint, sizeof(answer->hint), "%s", hint ? hint : "");
	json_object_put(result);
}

static inline void start(struct rig *rig, const struct rule *rules)
{
	struct kube_config config = {.server = rig->api.url, .context = (char[]){"ctx"}};

	memset(rig, 0, sizeof(*rig));
	rig->rules = rules;
	rig->api.answer = answer;
	assert_int_equal(uv_loop_init(&rig->loop), 0);
	(void)uv_timer_init(&rig->loop, &rig->deadline);
	rig->deadline.data = rig;
	fake_start(&rig->api, &rig->loop);
	assert_int_equal(kube_client_new(&rig->loop, &config, &rig->client, NULL), 0);
	assert_int_equal(session_key_new(&rig->key, NULL), 0);
	rig->set = intercepts_new(&(struct intercepts_config){.loop = &rig->loop,
		.client = rig->client,
		.manager_namespace = "ambassador",
		.key = rig->key,
		.uplink = &rig->uplink});
	intercepts_session(rig->set, "jane", "s", "session-1");
}

static inline void stop(struct rig *rig)
{
	uv_close((uv_handle_t *)&rig->deadline, NULL);
	intercepts_free(rig->set);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	session_key_free(rig->key);
}

#endif /* TESTS_INTERCEPT_RIG_H */
