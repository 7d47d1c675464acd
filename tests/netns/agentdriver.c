/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentdriver - the agent's engine, with a manager and a laptop that do what a test says
 *
 * In the agent's sandbox: a system call that its filter does not know ends this process, too. Both
 * ends of the link are in this process, joined by a socket pair. Reads commands, one a line, and
 * answers each with {"event":"ok"} or {"event":"error"}; what happens comes as other events.
 *   config [node=ADDRESS]... [PORT/tcp|udp/none|tcp|http|grpc/INTERCEPT/app|close]...
 *   link up|down
 *   answer dial PORT | open | ignore | REASON      (PORT of 127.0.0.1: the laptop's process)
 *   expect ID ADDRESS PORT-OF-SOURCE PORT tcp|udp
 *   counts INTERCEPT
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/engine.h"
#include "agent/sandbox.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/datagram.h"
#include "tunnel/dial.h"
#include "tunnel/pipe.h"
#include "tunnel/reply.h"
#include "tunnel/session.h"
#include "tunnel/socket_carrier.h"

#define LINE_MAX_BYTES 65536
#define READ_BYTES     4096
/* That a test may ask for: the sandbox makes no more of them. */
#define LINKS 4

/* One end of the link. */
struct end {
	struct pipe *pipe;
	struct h2_session *h2;
};

static struct {
	uv_loop_t loop;
	uv_poll_t input;
	struct buf line;
	struct engine *engine;
	struct end agent, manager;
	int pairs[LINKS][2];
	unsigned int used; /* of the pairs */
	struct dial_env env;
	struct dials dials;
	unsigned int associations;
	char answer[32];
	uint16_t laptop_port;
} driver;

static void say_error(const char *why)
{
	printf("{\"event\":\"error\",\"why\":\"%s\"}\n", why);
}

static void on_captured(void *user UNUSED, uint32_t probe_id)
{
	printf("{\"event\":\"captured\",\"id\":%u}\n", probe_id);
}

static void on_count(void *user UNUSED, const char *intercept UNUSED)
{
}

static const char *text(const char *value)
{
	return value ? value : "";
}

/* The laptop's end of a stream that stays as it is. */
static ssize_t say_nothing(void *user UNUSED, uint8_t *out UNUSED, size_t len UNUSED)
{
	return H2_READ_AGAIN;
}

static void on_stream(void *user UNUSED, struct h2_stream *stream, const struct h2_head *head)
{
	static const struct h2_stream_events silent = {.on_read = say_nothing};
	struct ip_endpoint laptop = {.addr = {.family = AF_INET, .bytes = {127, 0, 0, 1}}};

	printf("{\"event\":\"ask\",\"authority\":\"%s\",\"path\":\"%s\",\"intercept\":\"%s\","
	       "\"source\":\"%s\"}\n",
		text(head->authority), text(head->path),
		text(h2_head_get(head, "telepresence-intercept")),
		text(h2_head_get(head, "telepresence-source")));
	laptop.port = driver.laptop_port;
	if (strcmp(driver.answer, "dial") == 0) {
		if (head->protocol)
			datagram_start_endpoint(&driver.env, &driver.associations, stream, &laptop);
		else
			dial_host(&driver.env, &driver.dials, stream, "127.0.0.1", laptop.port);
	} else if (strcmp(driver.answer, "open") == 0) {
		h2_stream_set_events(stream, &silent, NULL);
		h2_respond(stream, 200, NULL, 0, true);
	} else if (strcmp(driver.answer, "ignore") == 0) {
		h2_stream_set_events(stream, &silent, NULL);
	} else {
		reply_reason(stream, reason_parse(driver.answer));
	}
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct end *end = user;

	return h2_session_recv(end->h2, data, len, err);
}

static void on_writable(void *user)
{
	struct end *end = user;

	h2_session_wake(end->h2);
}

static int on_record(void *user UNUSED, uint8_t type UNUSED, const uint8_t *payload UNUSED,
	size_t len UNUSED, struct err *err UNUSED)
{
	return -EPROTO;
}

static void on_closed(void *user UNUSED, const struct err *err)
{
	printf("{\"event\":\"closed\",\"why\":\"%s\"}\n", err->msg);
}

static void on_failed(void *user UNUSED, const struct err *err)
{
	printf("{\"event\":\"failed\",\"why\":\"%s\"}\n", err->msg);
}

static int open_end(struct end *end, int fd, enum h2_role role, struct err *err)
{
	static const struct pipe_config config = {.silence_ms = 600000};
	static const struct pipe_events pipe_events = {.on_record = on_record,
		.on_data = on_data,
		.on_writable = on_writable,
		.on_closed = on_closed};
	static const struct h2_session_events events = {
		.on_stream = on_stream, .on_failed = on_failed};

	end->pipe = pipe_new(&driver.loop, socket_carrier_new(&driver.loop, fd, SOCKET_RAW),
		&config, &pipe_events, end);
	pipe_open(end->pipe);
	return h2_session_new(&driver.loop, end->pipe, role, &events, end, &end->h2, err);
}

static void close_end(struct end *end)
{
	h2_session_free(TAKE_PTR(end->h2));
	if (end->pipe)
		pipe_free(TAKE_PTR(end->pipe));
}

static void link_down(void)
{
	engine_set_link(driver.engine, NULL);
	close_end(&driver.agent);
	close_end(&driver.manager);
}

static int link_up(struct err *err)
{
	const int *fds = driver.pairs[driver.used];
	int r;

	if (driver.used++ == LINKS)
		return err_set(err, -EMFILE, ERR_INTERNAL, "more than %d links", LINKS);
	r = open_end(&driver.manager, fds[0], H2_SERVER, err);
	if (r == 0)
		r = open_end(&driver.agent, fds[1], H2_CLIENT, err);
	if (r == 0)
		engine_set_link(driver.engine, driver.agent.h2);
	return r;
}

static uint16_t parse_port(const char *word)
{
	return (uint16_t)strtoul(text(word), NULL, 10);
}

static uint8_t parse_protocol(const char *word)
{
	return strcmp(text(word), "udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
}

static enum engine_probe parse_probe(const char *word)
{
	static const char *const names[] = {[ENGINE_PROBE_NONE] = "none",
		[ENGINE_PROBE_TCP] = "tcp",
		[ENGINE_PROBE_HTTP] = "http",
		[ENGINE_PROBE_GRPC] = "grpc"};
	enum engine_probe probe = ENGINE_PROBE_NONE;

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text(word), names[i]) == 0)
			probe = (enum engine_probe)i;
	}
	return probe;
}

static int configure(char **save, struct err *err)
{
	struct engine_config config = {.port_count = 0};

	for (char *word; (word = strtok_r(NULL, " ", save));) {
		struct engine_port *port = &config.ports[config.port_count];
		char *field = NULL;

		if (strncmp(word, "node=", 5) == 0) {
			if (ip_addr_parse(word + 5, &config.nodes[config.node_count++]) < 0)
				return err_set(err, -EINVAL, ERR_USAGE, "node");
			continue;
		}
		config.port_count++;
		port->port = parse_port(strtok_r(word, "/", &field));
		port->protocol = parse_protocol(strtok_r(NULL, "/", &field));
		port->probe = parse_probe(strtok_r(NULL, "/", &field));
		(void)snprintf(port->intercept, sizeof(port->intercept), "%s",
			text(strtok_r(NULL, "/", &field)));
		port->close_on_refuse = strcmp(text(strtok_r(NULL, "/", &field)), "close") == 0;
	}
	return engine_configure(driver.engine, &config, err);
}

static int expect(char **save)
{
	uint32_t id = (uint32_t)strtoul(text(strtok_r(NULL, " ", save)), NULL, 10);
	struct ip_endpoint source = {.port = 0};
	uint16_t port;

	if (ip_addr_parse(text(strtok_r(NULL, " ", save)), &source.addr) < 0)
		return -EINVAL;
	source.port = parse_port(strtok_r(NULL, " ", save));
	port = parse_port(strtok_r(NULL, " ", save));
	engine_expect(driver.engine, id, &source, port, parse_protocol(strtok_r(NULL, " ", save)));
	return 0;
}

static int print_counts(const char *intercept)
{
	struct engine_counts counts;

	if (!engine_counts(driver.engine, text(intercept), &counts))
		return -ENOENT;
	printf("{\"event\":\"counts\",\"flows\":%zu,\"connections\":%lu",
		engine_flow_count(driver.engine), counts.connections);
	for (unsigned int i = REASON_REFUSED; i < REASON_COUNT; i++)
		printf(",\"%s\":%lu", reason_name((enum reason)i), counts.fallbacks[i]);
	printf("}\n");
	return 0;
}

static void set_answer(char **save)
{
	(void)snprintf(driver.answer, sizeof(driver.answer), "%s", text(strtok_r(NULL, " ", save)));
	driver.laptop_port = parse_port(strtok_r(NULL, " ", save));
}

static void command(char *line)
{
	struct err err = ERR_INIT;
	char *save = NULL;
	const char *verb = text(strtok_r(line, " ", &save));
	int r = 0;

	if (strcmp(verb, "config") == 0)
		r = configure(&save, &err);
	else if (strcmp(verb, "link") == 0 && strcmp(text(save), "up") == 0)
		r = link_up(&err);
	else if (strcmp(verb, "link") == 0)
		link_down();
	else if (strcmp(verb, "answer") == 0)
		set_answer(&save);
	else if (strcmp(verb, "expect") == 0)
		r = expect(&save);
	else if (strcmp(verb, "counts") == 0)
		r = print_counts(save);
	else
		r = -ENOSYS;
	if (r < 0)
		say_error(*err.msg ? err.msg : strerror(-r));
	else
		printf("{\"event\":\"ok\"}\n");
}

/* The test closed our input: everything goes, and the loop ends when it has. */
static void stop(void)
{
	uv_close((uv_handle_t *)&driver.input, NULL);
	link_down();
	engine_free(driver.engine);
}

static void on_input(uv_poll_t *poll UNUSED, int status UNUSED, int mask UNUSED)
{
	uint8_t *at = buf_reserve(&driver.line, READ_BYTES);
	ssize_t n = at ? read(STDIN_FILENO, at, READ_BYTES) : 0;
	char *newline;

	if (n <= 0) {
		stop();
		return;
	}
	buf_commit(&driver.line, (size_t)n);
	while (buf_len(&driver.line) > 0 &&
		(newline = memchr(buf_head(&driver.line), '\n', buf_len(&driver.line)))) {
		char *line = (char *)buf_head(&driver.line);

		*newline = '\0';
		command(line);
		buf_consume(&driver.line, (size_t)(newline - line) + 1);
	}
}

/* As the agent's own main(): all that the sandbox does not let through comes before it. */
static int prepare(struct err *err)
{
	static const struct engine_events events = {
		.on_captured = on_captured, .on_count = on_count};
	int r = engine_new(&driver.loop, &events, NULL, &driver.engine, err);

	for (size_t i = 0; r == 0 && i < LINKS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			    driver.pairs[i]) < 0)
			r = err_set_errno(err, -errno, "socketpair");
	}
	if (r < 0)
		return r;
	outgoing_init(&driver.dials.outgoing);
	log_info("started", "links=%d", LINKS);
	printf("{\"event\":\"ready\"}\n");
	return sandbox_enter(err);
}

int main(void)
{
	struct err err = ERR_INIT;
	struct rlimit limit;

	log_init("agentdriver", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	buf_init(&driver.line, LINE_MAX_BYTES);
	uv_loop_init(&driver.loop);
	driver.env.loop = &driver.loop;
	if (prepare(&err) < 0) {
		say_error(err.msg);
		return 1;
	}
	uv_poll_init(&driver.loop, &driver.input, STDIN_FILENO);
	uv_poll_start(&driver.input, UV_READABLE, on_input);
	uv_run(&driver.loop, UV_RUN_DEFAULT);
	buf_done(&driver.line);
	return uv_loop_close(&driver.loop) == 0 ? 0 : 1;
}
