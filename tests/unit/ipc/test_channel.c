/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/err.h"
#include "ipc/channel.h"

#define PATIENCE_MS 60000

struct pair {
	char name[64];
	int listener, client, server;
};

static int set_up(void **state)
{
	static struct pair pair;

	(void)snprintf(pair.name, sizeof(pair.name), "test-ipc-channel-%d", getpid());
	pair.listener = ipc_listen(pair.name, NULL);
	pair.client = ipc_connect(pair.name, NULL);
	pair.server = accept4(pair.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	*state = &pair;
	return pair.server < 0;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;

	close(pair->listener);
	if (pair->client >= 0)
		close(pair->client);
	close(pair->server);
	return 0;
}

static void frames_keep_their_bounds(void **state)
{
	struct pair *pair = *state;
	char data[16];

	assert_int_equal(ipc_recv(pair->server, data, sizeof(data), NULL, NULL), -EAGAIN);
	assert_int_equal(ipc_send(pair->client, "one", 3, -1, NULL), 0);
	assert_int_equal(ipc_send(pair->client, "three", 5, -1, NULL), 0);
	assert_int_equal(ipc_recv(pair->server, data, sizeof(data), NULL, NULL), 3);
	assert_int_equal(ipc_recv(pair->server, data, sizeof(data), NULL, NULL), 5);
	assert_memory_equal(data, "three", 5);
	assert_int_equal(ipc_send(pair->client, "0123456789abcdefg", 17, -1, NULL), 0);
	assert_int_equal(ipc_recv(pair->server, data, sizeof(data), NULL, NULL), -EMSGSIZE);
	close(pair->client);
	pair->client = -1;
	assert_int_equal(ipc_recv(pair->server, data, sizeof(data), NULL, NULL), 0);
	assert_int_equal(ipc_send(pair->server, "x", 1, -1, NULL), -EPIPE);
}

static void descriptors_pass(void **state)
{
	struct pair *pair = *state;
	struct stat sent, received;
	char data[4];
	int fds[2];
	int fd = -1;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(ipc_send(pair->server, "fd", 2, fds[0], NULL), 0);
	assert_int_equal(ipc_recv(pair->client, data, sizeof(data), &fd, NULL), 2);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fds[0], &sent), 0);
	assert_int_equal(fstat(fd, &received), 0);
	assert_int_equal(sent.st_ino, received.st_ino);
	close(fd);
	assert_int_equal(ipc_send(pair->server, "no", 2, -1, NULL), 0);
	assert_int_equal(ipc_recv(pair->client, data, sizeof(data), &fd, NULL), 2);
	assert_int_equal(fd, -1);
	/* Nobody asked for one: refused, and the kernel has closed it. */
	assert_int_equal(ipc_send(pair->server, "fd", 2, fds[1], NULL), 0);
	assert_int_equal(ipc_recv(pair->client, data, sizeof(data), NULL, NULL), -EPROTO);
	close(fds[1]);
	assert_int_equal(read(fds[0], data, 1), 0);
	close(fds[0]);
}

/* Room for one only: of two, none stays open here. */
static void two_descriptors_are_refused(void **state)
{
	struct pair *pair = *state;
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = ""};
	struct iovec iov = {.iov_base = &(char){'x'}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = -1;
	int fds[2];
	char byte;

	assert_int_equal(pipe(fds), 0);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(cmsg), (int[]){fds[1], fds[1]}, 2 * sizeof(int));
	assert_int_equal(sendmsg(pair->client, &msg, 0), 1);
	assert_int_equal(ipc_recv(pair->server, &byte, 1, &fd, NULL), -EPROTO);
	assert_int_equal(fd, -1);
	close(fds[1]);
	/* The end of file: no writer is left anywhere. */
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}

static void a_peer_that_does_not_read_blocks_nobody(void **state)
{
	struct pair *pair = *state;
	char data[4096] = "";
	int r = 0;

	for (int i = 0; r == 0 && i < 10000; i++)
		r = ipc_send(pair->server, data, sizeof(data), -1, NULL);
	assert_int_equal(r, -EAGAIN);
}

static void names_are_exclusive(void **state)
{
	struct pair *pair = *state;
	struct err err = ERR_INIT;
	char name[200];

	assert_int_equal(ipc_listen(pair->name, &err), -EADDRINUSE);
	assert_int_equal(err.kind, ERR_CONFLICT);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(ipc_listen(name, &err), -EINVAL);
	assert_int_equal(ipc_connect(name, &err), -EINVAL);
	assert_int_equal(ipc_connect("", &err), -EINVAL);
	assert_int_equal(ipc_connect("test-ipc-nobody-there", &err), -ECONNREFUSED);
	assert_int_equal(err.kind, ERR_UNREACHABLE);
}

static void peers_are_known(void **state)
{
	struct pair *pair = *state;
	struct ucred cred;

	assert_int_equal(ipc_peer_cred(pair->server, &cred, NULL), 0);
	assert_int_equal(cred.pid, getpid());
	assert_int_equal(cred.uid, getuid());
	assert_int_equal(ipc_peer_cred(-1, &cred, NULL), -EBADF);
}

/* Connects, and lives until it is killed. */
static pid_t start_peer(const char *name)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (ipc_connect(name, NULL) >= 0)
		pause();
	_exit(1);
}

static void a_peers_end_is_seen(void **state)
{
	struct pair *pair = *state;
	pid_t pid = start_peer(pair->name);
	struct pollfd wait = {.fd = pair->listener, .events = POLLIN};
	int sock;

	assert_true(pid > 0);
	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
	sock = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
	wait.fd = ipc_peer_pidfd(sock);
	assert_true(wait.fd >= 0);
	assert_int_equal(poll(&wait, 1, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* There is none any more, and no socket. */
	assert_int_equal(ipc_peer_pidfd(sock), -ESRCH);
	assert_int_equal(ipc_peer_pidfd(-1), -EBADF);
	close(wait.fd);
	close(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_keep_their_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(descriptors_pass, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_descriptors_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_peer_that_does_not_read_blocks_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_exclusive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(peers_are_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peers_end_is_seen, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
