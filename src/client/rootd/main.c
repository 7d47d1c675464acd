/* SPDX-License-Identifier: Apache-2.0 */
/*
 * telepresence-rootd - the part of a laptop's telepresence that runs as root
 *
 * Start: fork (--background), shed what was inherited, open and bind everything, drop privileges,
 * say that it is ready, serve. docs/ipc.md has the protocol and the reasons.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/rootd/sandbox.h"
#include "client/rootd/server.h"
#include "client/rootd/session.h"
#include "core/err.h"
#include "core/log.h"
#include "ipc/channel.h"
#include "ipc/root_proto.h"

const char *argp_program_version = "telepresence-rootd " TP_VERSION;

struct options {
	bool uid_given;
	uid_t uid;
	int ready_fd; /* -1: none */
	bool background;
};

static const struct argp_option option_table[] = {
	{"uid", 'u', "N", 0, "Serve the user with this numeric id (required)", 0},
	{"ready-fd", 'r', "FD", 0, "Write a line to this descriptor when ready, and close it", 0},
	{"background", 'b', NULL, 0, "Return when ready and go on in the background", 0},
	{"debug", 'd', NULL, 0, "Log more", 0},
	{0},
};

/* 0..max, decimal digits only. */
static int parse_number(const char *text, uint32_t max, uint32_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*ret_value = (uint32_t)value;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	uint32_t value = 0;

	switch (key) {
	case 'u':
		/* The highest is (uid_t)-1, which means "none". */
		if (parse_number(arg, UINT32_MAX - 1, &value) < 0)
			argp_error(state, "--uid %s: not a numeric user id", arg);
		options->uid = value;
		options->uid_given = true;
		return 0;
	case 'r':
		if (parse_number(arg, INT32_MAX, &value) < 0 || value <= STDERR_FILENO ||
			fcntl((int)value, F_GETFD) < 0)
			argp_error(state, "--ready-fd %s: not an open descriptor above 2", arg);
		options->ready_fd = (int)value;
		return 0;
	case 'b':
		options->background = true;
		return 0;
	case 'd':
		log_set_level(LOG_LEVEL_DEBUG);
		return 0;
	case ARGP_KEY_END:
		if (!options->uid_given)
			argp_error(state, "--uid is required");
		if (options->background && options->ready_fd >= 0)
			argp_error(state, "--background tells by its exit, without --ready-fd");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {option_table, parse_option, NULL,
	"Does the kernel work of telepresence for one user: the TUN device, its routes, and the "
	"redirect of DNS queries. Started by the telepresence command, through sudo; ends with "
	"the process it serves and leaves nothing behind.",
	NULL, NULL, NULL};

/* Only root itself may start this, for anybody; a user who came by sudo only for himself. */
static int check_caller(const struct options *options, struct err *err)
{
	const char *sudo_uid = getenv("SUDO_UID");
	uint32_t caller = 0;

	if (getuid() != 0 || geteuid() != 0)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"this has to run as root: sudo telepresence-rootd --uid %u", options->uid);
	if (sudo_uid && parse_number(sudo_uid, UINT32_MAX - 1, &caller) < 0)
		return err_set(err, -EINVAL, ERR_USAGE, "SUDO_UID is not a number");
	if (caller != 0 && caller != options->uid)
		return err_set(err, -EPERM, ERR_PERMISSION, "uid %u asks for a daemon of uid %u",
			caller, options->uid);
	return 0;
}

/* Nothing of the starter's but stderr (the log) and the ready descriptor comes along. */
static int shed_inherited(const struct options *options, struct err *err)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned int ready = (unsigned int)options->ready_fd;

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return err_set_errno(err, -errno, "/dev/null");
	if (null > STDERR_FILENO)
		close(take_fd(&null));
	else
		(void)take_fd(&null);
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		return err_set_errno(err, -errno, "standard error");
	if (options->ready_fd < 0)
		(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	if (options->ready_fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, ready - 1, 0);
	if (options->ready_fd >= 0)
		(void)close_range(ready + 1, ~0U, 0);
	if (chdir("/") < 0)
		return err_set_errno(err, -errno, "chdir /");
	umask(077);
	return 0;
}

static int open_signals(struct err *err)
{
	/* The log may be a pipe whose reader is gone. */
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set_errno(err, -errno, "signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_set_errno(err, -errno, "signalfd") : fd;
}

static int say_ready(int fd, struct err *err)
{
	static const char line[] = "ready\n";

	if (fd < 0)
		return 0;
	if (write(fd, line, sizeof(line) - 1) != sizeof(line) - 1)
		return err_set_errno(err, -errno, "--ready-fd");
	close(fd);
	return 0;
}

/* Opens, drops, serves. */
static int serve(const struct options *options, int *ready_fd, struct err *err)
{
	struct server server = {.uid = options->uid};
	auto_close int listener = -1;
	auto_close int signals = -1;
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), ROOT_SOCKET_FORMAT, options->uid);
	listener = ipc_listen(name, err);
	if (listener == -EADDRINUSE)
		return err_wrap(
			err, listener, "a root daemon of uid %u runs already", options->uid);
	if (listener < 0)
		return listener;
	signals = open_signals(err);
	if (signals < 0)
		return signals;
	r = session_open(&server.session, err);
	if (r < 0)
		return r;
	/* Also loads what the C library reads from files for time stamps. */
	log_info("starting", "uid=%u version=%s", options->uid, TP_VERSION);
	r = sandbox_enter(err);
	if (r == 0)
		r = say_ready(*ready_fd, err);
	if (r == 0) {
		*ready_fd = -1;
		server.listener = listener;
		server.signals = signals;
		r = server_run(&server, err);
	}
	session_free(server.session);
	return r;
}

/*
 * Continues in a child; the parent stays until that is ready or has failed and exits so. Returns
 * in the child only, with the descriptor that tells the parent.
 */
static int go_background(struct err *err)
{
	int pipe_fds[2];
	int status = 0;
	char byte;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe");
	pid = fork();
	if (pid < 0)
		return err_set_errno(err, -errno, "fork");
	if (pid == 0) {
		close(pipe_fds[0]);
		/* Away from the terminal that sudo may have made for us and takes away again. */
		if (setsid() < 0)
			return err_set_errno(err, -errno, "setsid");
		return pipe_fds[1];
	}
	close(pipe_fds[1]);
	do {
		n = read(pipe_fds[0], &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	/* The child has ended and said why. */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

static int run(struct options *options, struct err *err)
{
	int r = check_caller(options, err);

	if (r < 0)
		return r;
	if (options->background) {
		r = go_background(err);
		if (r < 0)
			return r;
		options->ready_fd = r;
	}
	r = shed_inherited(options, err);
	return r < 0 ? r : serve(options, &options->ready_fd, err);
}

int main(int argc, char **argv)
{
	struct options options = {.ready_fd = -1};
	struct err err = ERR_INIT;

	log_init("rootd", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	if (argp_parse(&argp, argc, argv, ARGP_NO_ARGS, NULL, &options) != 0)
		return err_exit_code(ERR_USAGE);
	if (run(&options, &err) < 0) {
		log_error("ended", "error=%s", err.msg);
		return err_exit_code(err.kind);
	}
	return EXIT_SUCCESS;
}
