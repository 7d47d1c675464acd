/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "client/cli/command.h"
#include "client/userd/proto.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/limits.h"
#include "ipc/channel.h"

#define READ_BYTES 16384

json_object *daemon_request(const char *name)
{
	json_object *request = json_object_new_object();

	json_object_object_add(request, "protocol", json_object_new_int(USERD_PROTOCOL));
	json_put_string(request, "request", name);
	return request;
}

static int no_answer(struct err *err)
{
	return err_set(err, -ETIMEDOUT, ERR_UNREACHABLE,
		"the user daemon does not answer: telepresence quit -s ends it, then try again");
}

/* A daemon that stands still takes no connection any more, once enough wait, and no bytes. */
static int open_socket(struct err *err)
{
	const struct timeval patience = {.tv_sec = DAEMON_ANSWER_MS / 1000};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t len = userd_address(getuid(), &address);
	int r;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return err_set_errno(err, -errno, "socket");
	r = connect(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
	if (r == -EAGAIN)
		return no_answer(err);
	if (r == -ECONNREFUSED)
		return err_set(err, r, ERR_UNREACHABLE,
			"the telepresence daemon has not been started; try telepresence connect");
	if (r < 0)
		return err_set_errno(err, r, "the user daemon");
	r = userd_check_peer(fd, getuid(), err);
	return r < 0 ? r : take_fd(&fd);
}

static int send_request(int fd, json_object *request, struct err *err)
{
	struct buf out;
	int r;

	buf_init(&out, USERD_FRAME_BYTES);
	r = userd_put_frame(&out, request);
	while (r == 0 && buf_len(&out) > 0) {
		ssize_t n = send(fd, buf_head(&out), buf_len(&out), MSG_NOSIGNAL);

		if (n >= 0)
			buf_consume(&out, (size_t)n);
		else if (errno != EINTR)
			r = -errno;
	}
	buf_done(&out);
	if (r == -EAGAIN)
		return no_answer(err);
	return r < 0 ? err_set_errno(err, r, "sending to the user daemon") : 0;
}

/* Signals neither end the wait nor make it longer. */
static int wait_readable(int fd, int timeout_ms, struct err *err)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int64_t end = clock_ms() + timeout_ms, left = timeout_ms;
	int ready, error;

	do {
		ready = poll(&wait, 1, (int)MAX(left, 0));
		error = ready < 0 ? errno : 0;
		left = end - clock_ms();
	} while (error == EINTR);
	if (error)
		return err_set_errno(err, -error, "poll");
	return ready == 0 ? no_answer(err) : 0;
}

/* One more piece of the answer. */
static int receive(int fd, struct buf *in, int timeout_ms, struct err *err)
{
	uint8_t chunk[READ_BYTES];
	int r = wait_readable(fd, timeout_ms, err);
	ssize_t n;

	if (r < 0)
		return r;
	n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return err_set(err, -EPIPE, ERR_UNREACHABLE,
			"the user daemon has ended (see ~/.cache/telepresence/userd.log)");
	return buf_append(in, chunk, (size_t)n);
}

/* 1: that was the result. */
static int take_frame(
	struct cli *cli, json_object *frame, json_object **ret_result, struct err *err)
{
	const char *progress = json_get_string(frame, "progress");
	const char *error = json_get_string(frame, "error");
	const char *kind = json_get_string(frame, "kind");
	const char *hint = json_get_string(frame, "hint");
	json_object *result = json_get(frame, "result", json_type_object);
	json_object *active = json_get(frame, "active", json_type_object);

	if (progress) {
		cli_say(cli, "%s\n", progress);
		return 0;
	}
	if (result || active) {
		*ret_result = json_object_get(result ? result : active);
		return 1;
	}
	if (hint)
		(void)snprintf(cli->hint, sizeof(cli->hint), "%s", hint);
	return err_set(err, (int)MIN(json_get_int(frame, "code", -EIO), -1),
		err_kind_parse(kind ? kind : ""), "%s",
		error ? error : "the user daemon's answer cannot be understood");
}

/* *ret_heard: it has said anything at all. */
static int listen_to(struct cli *cli, int fd, int timeout_ms, json_object **ret_result,
	bool *ret_heard, struct err *err)
{
	struct buf in;
	int r = 0;

	*ret_heard = false;
	buf_init(&in, USERD_FRAME_BYTES);
	while (r == 0) {
		json_object *frame = NULL;

		r = userd_get_frame(&in, &frame);
		if (r == 0) {
			r = receive(fd, &in, timeout_ms, err);
		} else if (r > 0) {
			*ret_heard = true;
			r = take_frame(cli, frame, ret_result, err);
			json_object_put(frame);
		} else {
			err_set_errno(err, r, "the user daemon's answer");
		}
	}
	buf_done(&in);
	return r < 0 ? r : 0;
}

int daemon_end(struct cli *cli, int fd, int timeout_ms, json_object **ret_result, struct err *err)
{
	bool heard = false;

	return listen_to(cli, fd, timeout_ms, ret_result, &heard, err);
}

int daemon_begin(json_object *request, struct err *err)
{
	auto_close int fd = open_socket(err);
	int r = fd;

	if (fd >= 0)
		r = send_request(fd, request, err);
	json_object_put(request);
	return r < 0 ? r : take_fd(&fd);
}

int daemon_call(struct cli *cli, json_object *request, int timeout_ms, json_object **ret_result,
	struct err *err)
{
	auto_close int fd = daemon_begin(request, err);

	return fd < 0 ? fd : daemon_end(cli, fd, timeout_ms, ret_result, err);
}

static void wait_for_exit(int pidfd)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};

	if (pidfd >= 0)
		(void)poll(&wait, 1, DAEMON_ANSWER_MS);
}

/* What it was asked for it did not hear, or not begin. */
static bool was_ending(int r, bool heard)
{
	return heard ? r == -ERESTART || r == -ESHUTDOWN
		     : r == -EPIPE || r == -ECONNRESET || r == -ECONNREFUSED;
}

int daemon_connect(struct cli *cli, json_object *request, json_object **ret_result, struct err *err)
{
	auto_close int fd = daemon_begin(request, err);
	auto_close int pidfd = fd < 0 ? -1 : ipc_peer_pidfd(fd);
	bool heard = false;
	int r = fd;

	if (fd >= 0)
		r = listen_to(cli, fd, DAEMON_WORK_MS, ret_result, &heard, err);
	if (r >= 0 || !was_ending(r, heard))
		return r;
	if (r != -ERESTART)
		wait_for_exit(pidfd);
	return -ERESTART;
}

/* One that stands still cannot end itself. It is the user's own, by its socket's word; what the
 * root daemon did for it is undone when it is gone. */
static int end_by_force(struct cli *cli, int pidfd, struct err *err)
{
	if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return no_answer(err);
	cli_say(cli, "The user daemon does not answer: ended by force\n");
	wait_for_exit(pidfd);
	*err = (struct err)ERR_INIT;
	return 0;
}

int daemon_stop(struct cli *cli, int timeout_ms, json_object **ret_result, struct err *err)
{
	auto_close int fd = open_socket(err);
	json_object *request = daemon_request("stop");
	auto_close int pidfd = fd < 0 ? -1 : ipc_peer_pidfd(fd);
	int r = fd;

	if (fd >= 0)
		r = send_request(fd, request, err);
	json_object_put(request);
	if (r >= 0)
		r = daemon_end(cli, fd, timeout_ms, ret_result, err);
	if (r == -ETIMEDOUT)
		return end_by_force(cli, pidfd, err);
	if (r == 0)
		wait_for_exit(pidfd);
	return r;
}
