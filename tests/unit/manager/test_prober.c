/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of a listener on loopback, by scripted agents that see them or do not. */
#include "manager/scripted_agent.h"

#include "manager/prober.h"

/* What "the network" does with a probe: the listener that it comes to, in place of a redirect. */
struct target {
	uv_poll_t poll;
	int fd, came;
	struct ip_endpoint at, source; /* of the last that came */
	struct scripted *tell; /* who says that it captured it; NULL: nobody */
	char captured[64];
	struct err err;
	int r, done;
	bool mute; /* agents do not say "expecting" */
};

static struct target target;

static void endpoint_of(int fd, struct ip_endpoint *ret_endpoint)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_endpoint), 0);
}

static void on_arrival(uv_poll_t *poll, int status, int events)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char byte;
	int fd = accept4(target.fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);

	(void)poll, (void)status, (void)events;
	if (fd < 0)
		assert_int_equal(recvfrom(target.fd, &byte, 1, 0, (struct sockaddr *)&sa, &len), 0);
	else
		close(fd);
	assert_int_equal(
		ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, &target.source), 0);
	target.came++;
	if (target.tell)
		say(target.tell, target.captured);
}

static void listen_on(struct rig *rig, int type)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	target = (struct target){.fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	assert_true(target.fd >= 0);
	assert_int_equal(bind(target.fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(target.fd, 4), 0);
	endpoint_of(target.fd, &target.at);
	assert_int_equal(uv_poll_init(rig->loop, &target.poll, target.fd), 0);
	assert_int_equal(uv_poll_start(&target.poll, UV_READABLE, on_arrival), 0);
}

static void stop_listening(void)
{
	uv_close((uv_handle_t *)&target.poll, NULL);
	close(target.fd);
}

static void on_done(void *user, int r, const struct err *err)
{
	(void)user;
	target.r = r;
	target.err = *err;
	target.done++;
}

/* An agent that expects what it is told to. */
static void on_line(struct scripted *agent, const char *text)
{
	json_object *line = json_parse(text, strlen(text));
	auto_free char *answer = NULL;
	int id = (int)json_int(line, "id", -1);

	assert_string_equal(json_text(line, "type"), "expect");
	assert_string_equal(json_text(line, "source"), "127.0.0.1");
	assert_int_equal(json_int(line, "port", -1), 8080);
	(void)snprintf(
		target.captured, sizeof(target.captured), "{\"type\":\"captured\",\"id\":%d}", id);
	answer = xasprintf("{\"type\":\"expecting\",\"id\":%d}", id);
	if (!target.mute)
		say(agent, answer);
	target.source.port = (uint16_t)json_int(line, "sourcePort", 0);
	json_object_put(line);
}

static struct probe *probe(struct rig *rig, int protocol)
{
	static const char *const uids[] = {POD_UID, OTHER_UID};

	return probe_start(rig->agents, uids, 2, &target.at, 8080, protocol, on_done, NULL);
}

static struct rig *start(struct scripted *agent, int type)
{
	struct rig *rig = rig_new();

	scripted_hello(agent, rig);
	agent->on_line = on_line;
	listen_on(rig, type);
	return rig;
}

static void stop(struct rig *rig, struct scripted *agent)
{
	stop_listening();
	scripted_done(agent);
	rig_free(rig);
}

static void captured(int type, int protocol)
{
	struct scripted agent;
	struct rig *rig = start(&agent, type);
	uint16_t announced;

	target.tell = &agent;
	(void)probe(rig, protocol);
	assert_int_equal(target.done, 0);
	run_until(rig->tunnel, &agent.line_count, 1);
	announced = target.source.port;
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, 0);
	assert_int_equal(target.came, 1);
	assert_int_equal(target.source.port, announced);
	stop(rig, &agent);
}

static void test_connection_captured(void **state)
{
	(void)state;
	captured(SOCK_STREAM, IPPROTO_TCP);
}

static void test_datagram_captured(void **state)
{
	(void)state;
	captured(SOCK_DGRAM, IPPROTO_UDP);
}

static void test_bypassed(void **state)
{
	struct scripted agent;
	struct rig *rig = start(&agent, SOCK_STREAM);

	(void)state;
	(void)probe(rig, IPPROTO_TCP);
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, -EXDEV);
	assert_int_equal(target.came, 1);
	assert_non_null(strstr(target.err.msg, "not by an agent"));
	stop(rig, &agent);
}

static void test_refused(void **state)
{
	struct scripted agent;
	struct rig *rig = start(&agent, SOCK_DGRAM); /* nobody listens on that port of TCP */

	(void)state;
	(void)probe(rig, IPPROTO_TCP);
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, -ECONNREFUSED);
	stop(rig, &agent);
}

static void test_no_agent(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	listen_on(rig, SOCK_STREAM);
	(void)probe(rig, IPPROTO_TCP);
	assert_int_equal(target.done, 0);
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, -ENOTCONN);
	assert_int_equal(target.came, 0);
	stop_listening();
	rig_free(rig);
}

/* Nothing is sent before the agent is ready, and nothing after it is lost. */
static void test_agent_lost(void **state)
{
	struct scripted agent;
	struct rig *rig = start(&agent, SOCK_STREAM);

	(void)state;
	target.mute = true;
	(void)probe(rig, IPPROTO_TCP);
	run_until(rig->tunnel, &agent.line_count, 1);
	agent_link_free(TAKE_PTR(agent.link));
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, -ENOTCONN);
	assert_int_equal(target.came, 0);
	stop(rig, &agent);
}

/* An agent that claims what cannot have come yet proves nothing. */
static void test_claimed_too_early(void **state)
{
	struct scripted agent;
	struct rig *rig = start(&agent, SOCK_STREAM);

	(void)state;
	target.mute = true;
	(void)probe(rig, IPPROTO_TCP);
	run_until(rig->tunnel, &agent.line_count, 1);
	say(&agent, target.captured);
	run_until(rig->tunnel, &target.done, 1);
	assert_int_equal(target.r, -ENOTCONN);
	stop(rig, &agent);
}

static void test_cancelled(void **state)
{
	struct scripted agent;
	struct rig *rig = start(&agent, SOCK_STREAM);
	struct probe *first = probe(rig, IPPROTO_TCP), *second;

	(void)state;
	probe_cancel(first);
	probe_cancel(NULL);
	second = probe(rig, IPPROTO_TCP);
	run_until(rig->tunnel, &target.came, 1);
	probe_cancel(second);
	/* One that is cancelled when its result is known, but not told. */
	agents_remove(rig->agents, POD_UID);
	probe_cancel(probe(rig, IPPROTO_TCP));
	stop(rig, &agent);
	assert_int_equal(target.done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection_captured),
		cmocka_unit_test(test_datagram_captured),
		cmocka_unit_test(test_bypassed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_agent),
		cmocka_unit_test(test_agent_lost),
		cmocka_unit_test(test_claimed_too_early),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
