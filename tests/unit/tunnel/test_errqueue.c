/* SPDX-License-Identifier: Apache-2.0 */
/* What ICMP says, by the loopback device, where a closed port is. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "tunnel/errqueue.h"

static int datagrams_to_nobody(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(to);

	/* A port that was free a moment ago. */
	assert_int_equal(bind(other, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(other, (struct sockaddr *)&to, &len), 0);
	close(other);
	errqueue_enable(fd, AF_INET);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void a_closed_port_refuses(void **state UNUSED)
{
	int fd = datagrams_to_nobody();
	struct pollfd event = {.fd = fd};
	bool any = true;

	assert_int_equal(errqueue_take(fd, &any), REASON_NONE);
	assert_false(any);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(poll(&event, 1, 10000), 1);
	assert_int_equal(errqueue_take(fd, &any), REASON_REFUSED);
	assert_true(any);
	/* It is empty now. */
	assert_int_equal(errqueue_take(fd, &any), REASON_NONE);
	assert_false(any);
	close(fd);
}

static void reasons_have_codes_of_their_own(void **state UNUSED)
{
	static const enum reason told[] = {
		REASON_REFUSED, REASON_HOST_UNREACHABLE, REASON_NET_UNREACHABLE, REASON_FORBIDDEN};

	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		assert_int_equal(reason_of_reset(reason_reset(told[i])), told[i]);
	assert_int_equal(reason_reset(REASON_REFUSED), 10); /* CONNECT_ERROR */
	for (uint32_t code = 0; code < 16; code++)
		assert_int_equal(reason_of_reset(code), code == 10 ? REASON_REFUSED : REASON_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_port_refuses),
		cmocka_unit_test(reasons_have_codes_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
