/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/agent_fixture.h - a manager's end, an agent's credentials and the loop of both
 */
#ifndef UNIT_TUNNEL_AGENT_FIXTURE_H
#define UNIT_TUNNEL_AGENT_FIXTURE_H

#include "tunnel/agent_fixture_server.h"

static inline struct agent_fixture *agent_fixture_new(void)
{
	struct agent_fixture *fixture = XNEW(struct agent_fixture);
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct err err = ERR_INIT;

	uv_loop_init(&fixture->loop);
	fixture->source = (struct ip_addr){.family = AF_INET, .bytes = {127, 0, 0, 1}};
	memset(fixture->token, 't', sizeof(fixture->token));
	assert_int_equal(identity_new(&fixture->identity, &err), 0);
	identity_pin(fixture->identity, pin);
	assert_int_equal(
		agent_credentials_new(pin, fixture->token, POD_UID, &fixture->credentials, &err),
		0);
	agent_fixture_serve(fixture, 0);
	return fixture;
}

/* Links are freed already. Every handle is gone, or the test fails. */
static inline void agent_fixture_free(struct agent_fixture *fixture)
{
	agent_server_free(fixture->server);
	agent_credentials_free(fixture->credentials);
	identity_free(fixture->identity);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fixture->loop), 0);
	assert_int_equal(fixture->agents, fixture->gone);
	free(fixture);
}

static void agent_fixture_tick(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Runs the loop until *value >= least; fails the test after AGENT_DEADLINE_MS. */
static inline void agent_run_until(struct agent_fixture *fixture, const int *value, int least)
{
	uv_timer_t timer;
	bool expired = false;

	uv_timer_init(&fixture->loop, &timer);
	timer.data = &expired;
	uv_update_time(&fixture->loop);
	uv_timer_start(&timer, agent_fixture_tick, AGENT_DEADLINE_MS, 0);
	while (*value < least && !expired)
		uv_run(&fixture->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	/* The handle on this stack is gone after the turn in which it closes. */
	uv_run(&fixture->loop, UV_RUN_NOWAIT);
	assert_false(expired);
}

#endif /* UNIT_TUNNEL_AGENT_FIXTURE_H */
