/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "core/err.h"

/* Peers waiting to be told that another one is served. */
#define IPC_BACKLOG 8

static int abstract_address(
	const char *name, struct sockaddr_un *ret_sa, socklen_t *ret_len, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(sa.sun_path))
		return err_set(err, -EINVAL, ERR_INTERNAL, "socket name of %zu bytes", len);
	memcpy(sa.sun_path + 1, name, len);
	*ret_sa = sa;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	return 0;
}

static int abstract_socket(struct err *err)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return sock < 0 ? err_set_errno(err, -errno, "socket") : sock;
}

int ipc_listen(const char *name, struct err *err)
{
	auto_close int sock = -1;
	struct sockaddr_un sa = {.sun_family = 0};
	socklen_t len = 0;
	int r = abstract_address(name, &sa, &len, err);

	if (r < 0)
		return r;
	sock = abstract_socket(err);
	if (sock < 0)
		return sock;
	if (bind(sock, (const struct sockaddr *)&sa, len) < 0 || listen(sock, IPC_BACKLOG) < 0)
		return err_set_errno(err, -errno, "listen on @%s", name);
	return take_fd(&sock);
}

int ipc_connect(const char *name, struct err *err)
{
	auto_close int sock = -1;
	struct sockaddr_un sa = {.sun_family = 0};
	socklen_t len = 0;
	int r = abstract_address(name, &sa, &len, err);

	if (r < 0)
		return r;
	sock = abstract_socket(err);
	if (sock < 0)
		return sock;
	if (connect(sock, (const struct sockaddr *)&sa, len) < 0)
		return err_set_errno(err, -errno, "connect to @%s", name);
	return take_fd(&sock);
}

int ipc_peer_cred(int sock, struct ucred *ret_cred, struct err *err)
{
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set_errno(err, -errno, "peer credentials");
	*ret_cred = cred;
	return 0;
}

int ipc_peer_pidfd(int sock)
{
	struct ucred cred = {.pid = 0};
	int r = ipc_peer_cred(sock, &cred, NULL);

	if (r < 0)
		return r;
	if (cred.pid <= 0)
		return -ESRCH; /* of another pid namespace */
	r = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	return r < 0 ? -errno : r;
}

int ipc_send(int sock, const void *data, size_t len, int pass_fd, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = ""};
	union {
		const void *in;
		void *out;
	} unconst = {.in = data};
	struct iovec iov = {.iov_base = unconst.out, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (pass_fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &pass_fd, sizeof(pass_fd));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? err_set_errno(err, -errno, "send") : 0;
}

/* The one descriptor of a received message or -1. The control buffer has room for one only, so
 * the kernel has closed any others and set MSG_CTRUNC. */
static int received_fd(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS ||
		cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

int ipc_recv(int sock, void *data, size_t cap, int *ret_fd, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = cap};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	auto_close int fd = -1;
	ssize_t n;

	if (ret_fd) {
		msg.msg_control = control.bytes;
		/* Not the whole buffer: its padding would take a second one. */
		msg.msg_controllen = CMSG_LEN(sizeof(int));
	}
	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, -errno, "receive");
	if (ret_fd)
		fd = received_fd(&msg);
	if (msg.msg_flags & MSG_TRUNC)
		return err_set(err, -EMSGSIZE, ERR_INTERNAL, "frame of more than %zu bytes", cap);
	if (msg.msg_flags & MSG_CTRUNC)
		return err_set(err, -EPROTO, ERR_INTERNAL, "frame with unexpected descriptors");
	if (ret_fd)
		*ret_fd = take_fd(&fd);
	return (int)n;
}
