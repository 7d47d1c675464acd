/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/manager/agent_rig.h - a table of agents on a loopback port, and what it tells
 *
 * The Session's reversed carrier is the fixture's tunnel, given by the test's own
 * sessions_reverse(): what is on top of Session objects is not needed here.
 */
#ifndef UNIT_MANAGER_AGENT_RIG_H
#define UNIT_MANAGER_AGENT_RIG_H

#include <stdio.h>

#include "tunnel/fixture_client.h"

#include "cluster/json.h"
#include "manager/agents_impl.h"
#include "manager/sessions.h"
#include "tunnel/identity.h"

#define POD_UID   "aaaaaaaa-0000-0000-0000-000000000001"
#define OTHER_UID "aaaaaaaa-0000-0000-0000-000000000002"

struct rig {
	struct fixture *tunnel;
	uv_loop_t *loop;
	struct identity *identity;
	struct agents *agents;
	const char *session; /* of every intercept; NULL: none */
	int connected, lost, unproven, states, counts;
	char last_connected[192], last_lost[64], last_state[128], last_count[256];
	char last_unproven[64];
	int state_r;
	void *extra;
};

/* What the rig's sessions_reverse() gives, and what sessions_silent() was told. */
static struct h2_session *rig_carrier;
static char rig_silent[64];

struct h2_session *sessions_reverse(const struct sessions *sessions, const char *uid)
{
	(void)sessions;
	return strcmp(uid, SESSION_UID) == 0 && !rig_silent[0] ? rig_carrier : NULL;
}

void sessions_silent(struct sessions *sessions, const char *uid, uint64_t since_ms)
{
	(void)sessions;
	assert_true(since_ms > 0);
	(void)snprintf(rig_silent, sizeof(rig_silent), "%s", uid);
}

static void rig_on_connected(
	void *user, const char *pod_uid, const char *agent, const char *container)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_connected, sizeof(rig->last_connected), "%s %s %s", pod_uid, agent,
		container);
	rig->connected++;
}

static void rig_on_lost(void *user, const char *pod_uid)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_lost, sizeof(rig->last_lost), "%s", pod_uid);
	rig->lost++;
}

static void rig_on_unproven(void *user, const char *pod_uid)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_unproven, sizeof(rig->last_unproven), "%s", pod_uid);
	rig->unproven++;
}

static void rig_on_state(void *user, const char *pod_uid, int r, const char *message)
{
	struct rig *rig = user;

	assert_string_equal(pod_uid, POD_UID);
	(void)snprintf(rig->last_state, sizeof(rig->last_state), "%s", message);
	rig->state_r = r;
	rig->states++;
}

static void rig_on_count(
	void *user, const char *pod_uid, const char *intercept_uid, json_object *count)
{
	struct rig *rig = user;

	(void)snprintf(rig->last_count, sizeof(rig->last_count), "%s %s %d", pod_uid, intercept_uid,
		(int)json_int(count, "connections", -1));
	rig->counts++;
}

static const char *rig_session_of(void *user, const char *intercept_uid)
{
	assert_true(strncmp(intercept_uid, "i-", 2) == 0);
	return ((struct rig *)user)->session;
}

static inline struct rig *rig_new(void)
{
	static const struct agents_events events = {
		.on_connected = rig_on_connected,
		.on_lost = rig_on_lost,
		.on_unproven = rig_on_unproven,
		.on_state = rig_on_state,
		.on_count = rig_on_count,
		.session_of = rig_session_of,
	};
	struct rig *rig = XNEW(struct rig);
	struct ip_addr here;

	rig->tunnel = fixture_new();
	rig->loop = &rig->tunnel->loop;
	rig->session = SESSION_UID;
	rig_carrier = NULL;
	rig_silent[0] = '\0';
	assert_int_equal(ip_addr_parse("127.0.0.1", &here), 0);
	assert_int_equal(identity_new(&rig->identity, NULL), 0);
	assert_int_equal(
		agents_new(rig->loop, 0, rig->identity, NULL, &events, rig, &rig->agents, NULL), 0);
	agents_add(rig->agents, POD_UID, "shop/web-1", &here, 1);
	return rig;
}

static inline void rig_free(struct rig *rig)
{
	agents_free(rig->agents);
	fixture_free(rig->tunnel);
	identity_free(rig->identity);
	free(rig);
}

#endif /* UNIT_MANAGER_AGENT_RIG_H */
