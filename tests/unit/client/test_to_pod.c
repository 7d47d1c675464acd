/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to --to-pod ports that do not get into the pod: reset, counted, and explained. */
#include "tunnel/fixture_client.h"

#include "client/userd/to_pod.h"
#include "client/userd/uplink.h"
#include "tunnel/reply.h"

struct refusal {
	enum reason reason; /* REASON_NONE: a status without a reason */
	const char *text; /* a part of what is said */
};

static const struct refusal refusals[] = {
	{REASON_FORBIDDEN, "the traffic-manager (403) knows no such intercept"},
	{REASON_NONE, "the traffic-manager (403) knows no such intercept"},
	{REASON_REFUSED, "nothing listens at this port"},
	{REASON_NO_CLIENT, "no pod of the workload is ready"},
	{REASON_TIMED_OUT, "did not answer in time"},
	{REASON_NAME_NOT_FOUND, "name-not-found"},
};

static void refuse(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	const struct refusal *refusal = fixture->extra;

	assert_string_equal(h2_head_get(head, "telepresence-intercept"), "uid-1");
	if (refusal->reason == REASON_NONE)
		reply_status(stream, 403);
	else
		reply_reason(stream, refusal->reason);
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* Connects, and runs the loop until the connection is reset. */
static void be_reset(struct fixture *fixture, uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char byte;
	ssize_t n;

	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), -1);
	do {
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
		n = recv(fd, &byte, 1, 0);
	} while (n < 0 && (errno == EAGAIN || errno == ENOTCONN));
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static void assert_told(const struct to_pod *to_pod, int count, const char *text)
{
	json_object *array = to_pod_describe(to_pod);
	json_object *port = json_object_array_get_idx(array, 0);

	assert_int_equal(json_object_array_length(array), 1);
	assert_int_equal(json_object_get_int(json_object_object_get(port, "connections")), count);
	assert_int_equal(json_object_get_int(json_object_object_get(port, "failed")), count);
	assert_non_null(
		strstr(json_object_get_string(json_object_object_get(port, "reason")), text));
	json_object_put(array);
}

static void every_refusal_is_explained(void **state)
{
	struct fixture *fixture = fixture_new();
	struct uplink uplink = {.h2 = fixture_ready(fixture)};
	const struct to_pod_port port = {.port = free_port()};
	struct to_pod *to_pod = NULL;

	(void)state;
	fixture->on_stream = refuse;
	assert_int_equal(to_pod_new(&fixture->loop, &uplink, &port, 1, &to_pod, NULL), 0);
	/* Before it leads anywhere. */
	be_reset(fixture, port.port);
	assert_told(to_pod, 1, "there is no tunnel");
	to_pod_open(to_pod, "uid-1");
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		fixture->extra = (void *)(uintptr_t)&refusals[i];
		be_reset(fixture, port.port);
		assert_told(to_pod, (int)i + 2, refusals[i].text);
	}
	uplink.h2 = NULL;
	be_reset(fixture, port.port);
	assert_told(to_pod, (int)ARRAY_SIZE(refusals) + 2, "there is no tunnel");
	to_pod_free(to_pod);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
