/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rootd/server.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "client/rootd/session.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "ipc/channel.h"

/* From the start, and from accepting the peer, to its first frame: whoever started this daemon
 * connects at once, and one that died instead must not leave a root process behind. */
#define FIRST_FRAME_MS 10000

struct loop {
	const struct server *server;
	int peer;
	bool heard; /* the peer has sent a frame */
	int64_t deadline_ms; /* while !heard */
};

/* 0 when this peer may be served. */
static int check_peer(const struct loop *loop, int sock, struct err *err)
{
	struct ucred cred;
	int r = ipc_peer_cred(sock, &cred, err);

	if (r < 0)
		return r;
	if (cred.uid != loop->server->uid)
		return err_set(err, -EPERM, ERR_PERMISSION, "uid %u is not served here, pid %d",
			cred.uid, cred.pid);
	if (loop->peer >= 0)
		return err_set(err, -EBUSY, ERR_CONFLICT, "another process is served, not pid %d",
			cred.pid);
	log_info("peer accepted", "pid=%d uid=%u", cred.pid, cred.uid);
	return 0;
}

static void accept_peer(struct loop *loop)
{
	auto_close int sock =
		accept4(loop->server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct err why = ERR_INIT;

	/* It went away again, or another wake-up follows. */
	if (sock < 0)
		return;
	if (check_peer(loop, sock, &why) < 0) {
		log_warn("peer refused", "reason=%s", why.msg);
		session_refuse(sock, &why);
		return;
	}
	loop->peer = take_fd(&sock);
	loop->deadline_ms = clock_ms() + FIRST_FRAME_MS;
}

/* > 0: go on; 0: the peer has closed; -errno. */
static int read_peer(struct loop *loop, struct err *err)
{
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	int r = ipc_recv(loop->peer, frame, sizeof(frame), NULL, err);

	if (r == -EAGAIN)
		return 1;
	if (r == -ECONNRESET)
		return 0;
	if (r < 0) {
		session_refuse(loop->peer, err);
		return r;
	}
	if (r == 0)
		return 0;
	loop->heard = true;
	r = session_frame(loop->server->session, loop->peer, frame, (size_t)r, err);
	return r < 0 ? r : 1;
}

static void log_signal(int signals)
{
	struct signalfd_siginfo info = {.ssi_signo = 0};

	if (read(signals, &info, sizeof(info)) == sizeof(info))
		log_info("told to end", "signal=%u pid=%u", info.ssi_signo, info.ssi_pid);
}

/* One wake-up; as read_peer(). */
static int step(struct loop *loop, struct err *err)
{
	struct pollfd fds[] = {
		{.fd = loop->server->signals, .events = POLLIN},
		{.fd = loop->server->listener, .events = POLLIN},
		{.fd = loop->peer, .events = POLLIN}, /* -1 is ignored */
		{.fd = session_resolved_fd(loop->server->session), .events = POLLIN},
	};
	int64_t left = loop->deadline_ms - clock_ms();
	int n;

	if (!loop->heard && left <= 0)
		return err_set(err, -ETIMEDOUT, ERR_UNREACHABLE, "no peer within %d s",
			FIRST_FRAME_MS / 1000);
	n = poll(fds, ARRAY_SIZE(fds), loop->heard ? -1 : (int)left);
	if (n < 0 && errno != EINTR)
		return err_set_errno(err, -errno, "poll");
	if (n <= 0)
		return 1;
	if (fds[0].revents) {
		log_signal(loop->server->signals);
		return 0;
	}
	if (fds[1].revents)
		accept_peer(loop);
	if (fds[3].revents)
		session_resolved_event(loop->server->session);
	return fds[2].revents ? read_peer(loop, err) : 1;
}

int server_run(const struct server *server, struct err *err)
{
	struct loop loop = {
		.server = server, .peer = -1, .deadline_ms = clock_ms() + FIRST_FRAME_MS};
	int r;

	do {
		r = step(&loop, err);
	} while (r > 0);
	if (r == 0)
		log_info("ending", "served=%d", loop.heard);
	if (loop.peer >= 0)
		close(loop.peer);
	return r;
}
