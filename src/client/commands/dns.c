/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "client/cli/daemon.h"
#include "client/commands/commands.h"
#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/limits.h"
#include "dns/message.h"
#include "dns/text.h"

/* Longer than the resolver takes to give up on the cluster and then on the nameserver. */
#define ANSWER_S 70

static int open_socket(int type, uint16_t port, struct err *err)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	const struct timeval timeout = {.tv_sec = ANSWER_S};
	auto_close int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return err_set_errno(err, -errno, "the resolver on 127.0.0.1 port %u", port);
	return take_fd(&fd);
}

static ssize_t ask_udp(
	uint16_t port, const uint8_t *msg, size_t len, uint8_t *answer, struct err *err)
{
	auto_close int fd = open_socket(SOCK_DGRAM, port, err);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (send(fd, msg, len, 0) < 0)
		return err_set_errno(err, -errno, "asking the resolver");
	n = recv(fd, answer, LIMIT_DNS_MESSAGE_BYTES, 0);
	return n < 0 ? err_set_errno(err, -errno, "waiting for the resolver's answer") : n;
}

static ssize_t ask_tcp(
	uint16_t port, const uint8_t *msg, size_t len, uint8_t *answer, struct err *err)
{
	auto_close int fd = open_socket(SOCK_STREAM, port, err);
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	size_t want;

	if (fd < 0)
		return fd;
	if (send(fd, head, sizeof(head), MSG_NOSIGNAL | MSG_MORE) < 0 ||
		send(fd, msg, len, MSG_NOSIGNAL) < 0)
		return err_set_errno(err, -errno, "asking the resolver");
	if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head))
		return err_set(err, -EPIPE, ERR_UNREACHABLE, "the resolver did not answer");
	want = (size_t)head[0] << 8 | head[1];
	if (recv(fd, answer, want, MSG_WAITALL) != (ssize_t)want)
		return err_set(err, -EPIPE, ERR_UNREACHABLE, "the resolver's answer is cut off");
	return (ssize_t)want;
}

static void add_record(void *user, const char *record)
{
	json_object_array_add(user, json_object_new_string(record));
}

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Asks as a program does, and adds what came to the trace. */
static int ask(json_object *trace, uint16_t type, struct err *err)
{
	uint16_t port = (uint16_t)json_get_int(trace, "local_port", 0);
	auto_free uint8_t *answer = xcalloc(1, LIMIT_DNS_MESSAGE_BYTES);
	json_object *records = json_object_new_array();
	size_t len = 0;
	auto_free uint8_t *msg = dns_query_new(json_get_string(trace, "name"), type, &len);
	int64_t started = now_us();
	const char *rcode;
	ssize_t n;

	json_object_object_add(trace, "answers", records);
	if (!msg)
		return err_set(err, -EINVAL, ERR_USAGE, "not a DNS name");
	n = ask_udp(port, msg, len, answer, err);
	if (n >= 0 && dns_is_truncated(answer, (size_t)n))
		n = ask_tcp(port, msg, len, answer, err);
	if (n < 0)
		return (int)n;
	rcode = dns_answer_read(answer, (size_t)n, add_record, records);
	json_put_string(trace, "rcode", rcode ? rcode : "unreadable");
	json_object_object_add(trace, "duration_us", json_object_new_int64(now_us() - started));
	return 0;
}

/* A single label is asked for in the namespaces of intercepts, too. */
static void print_cluster_first(struct cli *cli, json_object *trace)
{
	json_object *further = json_get(trace, "then_as", json_type_array);
	size_t count = further ? json_object_array_length(further) : 0;

	cli_print(cli, "the cluster, asked for %s", json_get_string(trace, "asked_as"));
	for (size_t i = 0; i < count; i++)
		cli_print(cli, ", then %s",
			json_object_get_string(json_object_array_get_idx(further, i)));
	cli_print(cli, "; if it does not know it, nameserver %s\n",
		json_get_string(trace, "nameserver"));
}

static void print_answerer(struct cli *cli, json_object *trace)
{
	const char *by = json_get_string(trace, "answered_by");
	const char *full = json_get_string(trace, "asked_as");
	const char *server = json_get_string(trace, "nameserver");

	cli_print(cli, "  Answered by: ");
	if (strcmp(by, "cluster") == 0)
		cli_print(cli, "the cluster, asked for %s\n", full);
	else if (strcmp(by, "cluster-first") == 0)
		print_cluster_first(cli, trace);
	else if (strcmp(by, "nameserver") == 0)
		cli_print(cli, "nameserver %s, as without a connection\n", server);
	else if (strcmp(by, "mapping") == 0)
		cli_print(cli, "telepresence, with the mapping's address\n");
	else
		cli_print(cli, "telepresence: it does not exist\n");
}

static void print_trace(struct cli *cli, json_object *trace)
{
	const char *alias = json_get_string(trace, "alias_for");
	int64_t us = json_get_int(trace, "duration_us", 0);
	json_object *records = json_get(trace, "answers", json_type_array);

	cli_print(cli, "%s %s\n", json_get_string(trace, "name"), json_get_string(trace, "type"));
	cli_print(cli, "  Rule       : %s%s%s\n", json_get_string(trace, "rule"),
		alias ? ", stands for " : "", alias ? alias : "");
	print_answerer(cli, trace);
	cli_print(cli, "  Answer     : %s in %lld.%lld ms\n", json_get_string(trace, "rcode"),
		(long long)(us / 1000), (long long)(us % 1000 / 100));
	for (size_t i = 0; i < json_object_array_length(records); i++)
		cli_print(cli, "    %s\n",
			json_object_get_string(json_object_array_get_idx(records, i)));
}

static int trace_name(struct cli *cli, const char *name, const char *type_text, struct err *err)
{
	json_object *request, *trace = NULL;
	uint16_t type = dns_type_parse(type_text);
	int r;

	if (type == 0)
		return err_set(err, -EINVAL, ERR_USAGE,
			"\"%.40s\" is no type of DNS record (A, AAAA, SRV, ...)", type_text);
	request = daemon_request("dns-trace");
	json_put_string(request, "name", name);
	r = daemon_call(cli, request, DAEMON_ANSWER_MS, &trace, err);
	if (r == -ECONNREFUSED)
		return err_set(err, r, ERR_UNREACHABLE,
			"not connected to a cluster; try telepresence connect");
	if (r < 0)
		return r;
	json_put_string(trace, "type", type_text);
	r = ask(trace, type, err);
	json_object_object_del(trace, "local_port");
	if (r == 0 && cli->format != OUTPUT_DEFAULT)
		cli_result(cli, json_object_get(trace), true);
	else if (r == 0)
		print_trace(cli, trace);
	json_object_put(trace);
	return r;
}

static int run(struct cli *cli, struct err *err)
{
	auto_free char *type = xstrdup(cli->operand_count > 2 ? cli->operands[2] : "A");

	if (cli->operand_count < 2 || cli->operand_count > 3 ||
		strcmp(cli->operands[0], "trace") != 0)
		return err_set(
			err, -EINVAL, ERR_USAGE, "please say: telepresence dns trace NAME [TYPE]");
	for (char *c = type; *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
	return trace_name(cli, cli->operands[1], type, err);
}

const struct command command_dns = {
	.name = "dns",
	.operand = "trace NAME [TYPE]",
	.many_operands = true,
	.words = "trace",
	.summary = "Trace who answers for a name, by which rule, and ask",
	.description =
		"dns trace NAME shows whether the cluster or this machine's nameserver answers for "
		"a "
		"name while connected, which rule decides that, and under which name the cluster "
		"is "
		"asked; then it asks and prints the answer. TYPE is A unless given: AAAA, CNAME, "
		"MX, "
		"NS, PTR, SRV, TXT or another. The name is taken as it is, without the search list "
		"of resolv.conf.",
	.run = run,
};
