/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asker - a steady load of small requests, each on a connection of its own, and a server for it
 *
 *   asker ask ADDRESS PORT RATE     RATE requests a second until standard input ends, then the rest
 *                                   of those under way; a line for each when it is over:
 *                                   BEGUN ENDED RESULT, seconds of CLOCK_MONOTONIC and what the
 *                                   server said, or "!" and the errno's name where it failed
 *   asker serve ADDRESS PORT TEXT   answers every connection's first bytes with TEXT
 *
 * A request is begun whether or not the ones before it are over: a server that stalls sees more of
 * them, and one that is late for 5 s has failed. A connection whose server says nothing and closes
 * has failed, too ("!EMPTY").
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Of both ends; more than RATE times the time-out. */
#define REQUESTS_MAX 8192
#define EVENTS       256
#define TIMEOUT_S    5.0
#define BACKLOG      4096
/* What a server says is a word. */
#define ANSWER_BYTES 64

static const char question[] = "ask\n";

struct request {
	int fd; /* -1: free */
	double begun;
	bool asked;
	size_t length;
	char answer[ANSWER_BYTES];
};

struct load {
	struct sockaddr_in to;
	double interval;
	int epoll;
	unsigned int open;
	uint32_t next; /* where the search for a free one begins */
	struct request requests[REQUESTS_MAX];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void finish(struct load *load, struct request *request, int error)
{
	char *end = memchr(request->answer, '\n', request->length);

	if (error)
		printf("%.6f %.6f !%s\n", request->begun, now(), strerrorname_np(error));
	else if (request->length == 0)
		printf("%.6f %.6f !EMPTY\n", request->begun, now());
	else
		printf("%.6f %.6f %.*s\n", request->begun, now(),
			(int)(end ? end - request->answer : (ssize_t)request->length),
			request->answer);
	close(request->fd);
	request->fd = -1;
	load->open--;
}

static struct request *find_free(struct load *load)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *request = &load->requests[load->next++ % REQUESTS_MAX];

		if (request->fd < 0)
			return request;
	}
	(void)fprintf(stderr, "asker: too many requests under way\n");
	exit(1);
}

static void begin(struct load *load)
{
	struct request *request = find_free(load);
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = request};

	request->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (request->fd < 0)
		fail("asker: socket");
	load->open++;
	request->asked = false;
	request->length = 0;
	request->begun = now();
	if (connect(request->fd, (struct sockaddr *)&load->to, sizeof(load->to)) < 0 &&
		errno != EINPROGRESS) {
		finish(load, request, errno);
		return;
	}
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, request->fd, &event) < 0)
		fail("asker: epoll_ctl");
}

static void ask(struct load *load, struct request *request)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(request->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (!error && send(request->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		error = errno;
	request->asked = true;
	if (error)
		finish(load, request, error);
}

static void hear(struct load *load, struct request *request)
{
	for (;;) {
		ssize_t n = recv(request->fd, request->answer + request->length,
			sizeof(request->answer) - request->length, 0);

		if (n > 0) {
			request->length += (size_t)n;
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		finish(load, request, n < 0 ? errno : 0);
		return;
	}
}

static void step(struct load *load, struct request *request, uint32_t events)
{
	if (request->fd < 0)
		return;
	if (!request->asked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		ask(load, request);
	if (request->fd >= 0 && request->asked)
		hear(load, request);
}

static void end_late(struct load *load, double time)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		if (load->requests[i].fd >= 0 && time - load->requests[i].begun > TIMEOUT_S)
			finish(load, &load->requests[i], ETIMEDOUT);
	}
}

static bool input_ended(void)
{
	char byte;

	return read(STDIN_FILENO, &byte, 1) == 0;
}

static void run_load(struct load *load)
{
	struct epoll_event events[EVENTS];
	double due = now(), look = due;
	bool ending = false;

	while (!ending || load->open > 0) {
		double time = now();
		int n;

		for (; !ending && due <= time; due += load->interval)
			begin(load);
		n = epoll_wait(load->epoll, events, EVENTS, 1);
		for (int i = 0; i < n; i++)
			step(load, events[i].data.ptr, events[i].events);
		if (time - look < 0.05)
			continue;
		look = time;
		end_late(load, time);
		ending = ending || input_ended();
		(void)fflush(stdout);
	}
}

static struct sockaddr_in address_of(char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	long port = strtol(argv[1], NULL, 10);

	address.sin_port = htons((uint16_t)port);
	if (port <= 0 || port > UINT16_MAX || inet_pton(AF_INET, argv[0], &address.sin_addr) != 1) {
		(void)fprintf(stderr, "asker: %s port %s is no address\n", argv[0], argv[1]);
		exit(2);
	}
	return address;
}

static int load_main(char **argv)
{
	static struct load load;
	double rate = strtod(argv[2], NULL);

	load.to = address_of(argv);
	if (!(rate >= 1 && rate <= 100000)) {
		(void)fprintf(stderr, "asker: rate %s is none\n", argv[2]);
		return 2;
	}
	load.interval = 1 / rate;
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll < 0)
		fail("asker: epoll");
	for (uint32_t i = 0; i < REQUESTS_MAX; i++)
		load.requests[i].fd = -1;
	(void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	run_load(&load);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* One read, one answer, end. The fd of a connection is its name: there is nothing to remember. */
static void serve_one(int fd, const char *text)
{
	char line[ANSWER_BYTES + 2];
	char in[ANSWER_BYTES];

	if (recv(fd, in, sizeof(in), 0) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)snprintf(line, sizeof(line), "%s\n", text);
	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
	close(fd);
}

static void accept_all(int epoll, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		if (fd < 0)
			return;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			close(fd);
	}
}

static _Noreturn void serve_main(char **argv)
{
	struct sockaddr_in address = address_of(argv);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC), on = 1;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(listener, BACKLOG) < 0)
		fail("asker: listen");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
		fail("asker: epoll");
	(void)printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(epoll, listener);
			else
				serve_one(events[i].data.fd, argv[2]);
		}
	}
}

int main(int argc, char **argv)
{
	const struct rlimit files = {.rlim_cur = 16384, .rlim_max = 16384};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && strcmp(argv[1], "ask") == 0)
		return load_main(argv + 2);
	if (argc == 5 && strcmp(argv[1], "serve") == 0)
		serve_main(argv + 2);
	(void)fprintf(
		stderr, "usage: asker ask ADDRESS PORT RATE | asker serve ADDRESS PORT TEXT\n");
	return 2;
}
