/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/options.h"
#include "core/alloc.h"

#define ARGS_MAX 12
#define PIN      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define TOKEN    "//////////////////////////////////////////8="

struct args {
	char *values[ARGS_MAX + 1];
	int count;
};

static void add(struct args *args, const char *text)
{
	assert_true(args->count < ARGS_MAX);
	args->values[args->count++] = xstrdup(text);
	args->values[args->count] = NULL;
}

static void fill(struct args *args)
{
	add(args, "traffic-agent");
	add(args, "--manager=10.96.0.7:8082");
	add(args, "--pin=" PIN);
	add(args, "--token=" TOKEN);
	add(args, "--pod-uid=aaaaaaaa-2222-3333-4444-555555555555");
	add(args, "--container=web");
	add(args, "--node-address=10.1.0.1,fd00::1");
	add(args, "--name=telepresence-agent-1");
}

static void done(struct args *args)
{
	for (int i = 0; i < args->count; i++)
		free(args->values[i]);
}

/* The last argument wins: what the process that gets these ends with. */
static int status_with(const char *extra)
{
	struct agent_options options;
	struct args args = {.count = 0};
	int status = 0;
	pid_t pid;

	fill(&args);
	add(&args, extra);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null < 0 || dup2(null, STDERR_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(99);
		agent_options_parse(args.count, args.values, &options);
		_exit(42);
	}
	done(&args);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void are_those_of_the_spec(void **state)
{
	struct agent_options options;
	struct args args = {.count = 0};
	char text[ADDR_TEXT_BYTES];

	(void)state;
	fill(&args);
	agent_options_parse(args.count, args.values, &options);
	assert_string_equal(ip_endpoint_format(&options.manager, text), "10.96.0.7:8082");
	for (uint8_t i = 0; i < IDENTITY_PIN_BYTES; i++)
		assert_int_equal(options.pin[i], i);
	for (int i = 0; i < AGENT_TOKEN_BYTES; i++)
		assert_int_equal(options.token[i], 0xff);
	assert_string_equal(options.pod_uid, "aaaaaaaa-2222-3333-4444-555555555555");
	assert_string_equal(options.container, "web");
	assert_string_equal(options.name, "telepresence-agent-1");
	assert_int_equal(options.node_count, 2);
	assert_string_equal(ip_addr_format(&options.nodes[1], text), "fd00::1");
	/* The token is not to be read in /proc. */
	assert_string_equal(args.values[3], "--token=");
	done(&args);
}

static void take_an_ipv6_manager(void **state)
{
	struct agent_options options;
	struct args args = {.count = 0};

	(void)state;
	fill(&args);
	add(&args, "--manager=[fd00::7]:8082");
	agent_options_parse(args.count, args.values, &options);
	assert_int_equal(options.manager.addr.family, AF_INET6);
	assert_int_equal(options.manager.port, 8082);
	assert_int_equal(options.manager_pod.addr.family, 0);
	done(&args);
}

static void are_refused_when_off(void **state)
{
	static const char *const wrong[] = {"--manager=10.96.0.7", "--manager-pod=10.1.0.7",
		"--manager=10.96.0.7:", "--manager=10.96.0.7:0", "--manager=10.96.0.7:65536",
		"--manager=10.96.0.7:+1", "--manager=10.96.0.7:80x", "--manager=fd00::7:8082",
		"--manager=[10.96.0.7]:80", "--manager=name:80", "--manager=:80",
		"--manager=", "--pin=AAAA",
		"--pin=", "--pin=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==",
		"--pin=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",
		"--pin=AAECAwQFBgcICQoLDA0ODxAR*hMUFRYXGBkaGxwdHh8=", "--token=x", "--pod-uid=",
		"--container=", "--name=", "--node-address=", "--node-address=10.0.0.1,",
		"--node-address=10.0.0.0/8", "--log-level=loud", "--unknown", "argument"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (status_with(wrong[i]) != 2)
			fail_msg("%s is taken", wrong[i]);
	}
	assert_int_equal(status_with("--log-level=debug"), 42);
	assert_int_equal(status_with("--manager-pod=10.1.0.7:8082"), 42);
	assert_int_equal(status_with("--help"), 0);
	assert_int_equal(status_with("--version"), 0);
}

static void must_not_name_too_many_nodes(void **state)
{
	char list[64 * INTERCEPT_NODES] = "--node-address=10.9.9.9";

	(void)state;
	/* Two come from fill(). */
	for (int i = 0; i < INTERCEPT_NODES - 3; i++)
		(void)strcat(list, ",10.9.9.9");
	assert_int_equal(status_with(list), 42);
	(void)strcat(list, ",10.9.9.9");
	assert_int_equal(status_with(list), 2);
}

static void are_all_required(void **state)
{
	(void)state;
	for (int skip = 1; skip < 8; skip++) {
		struct agent_options options;
		struct args all = {.count = 0}, args = {.count = 0};
		int status = 0;
		pid_t pid;

		fill(&all);
		for (int i = 0; i < all.count; i++) {
			if (i != skip)
				add(&args, all.values[i]);
		}
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(STDERR_FILENO);
			agent_options_parse(args.count, args.values, &options);
			_exit(42);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* A pod's node may be unknown; everything else is needed. */
		assert_int_equal(WEXITSTATUS(status), skip == 6 ? 42 : 2);
		done(&all);
		done(&args);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(are_those_of_the_spec),
		cmocka_unit_test(take_an_ipv6_manager),
		cmocka_unit_test(are_refused_when_off),
		cmocka_unit_test(must_not_name_too_many_nodes),
		cmocka_unit_test(are_all_required),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
