/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/cli/command.h"
#include "core/alloc.h"
#include "core/err.h"

#define ROOTD_NAME "telepresence-rootd"
#define PATH_BYTES 4096
/* A log that has grown beyond this is put aside when a daemon starts. */
#define LOG_MAX_BYTES  (4L * 1024 * 1024)
#define LOG_TAIL_BYTES 400

static char *home_dir(void)
{
	const char *home = getenv("HOME");
	const struct passwd *entry;

	if (home && home[0] == '/')
		return xstrdup(home);
	entry = getpwuid(getuid());
	return entry ? xstrdup(entry->pw_dir) : NULL;
}

char *launch_cache_dir(struct err *err)
{
	const char *xdg = getenv("XDG_CACHE_HOME");
	auto_free char *home = home_dir();
	auto_free char *base = NULL;
	auto_free char *dir = NULL;

	if (xdg && xdg[0] == '/')
		base = xstrdup(xdg);
	else if (home)
		base = xasprintf("%s/.cache", home);
	if (!base) {
		err_set(err, -ENOENT, ERR_CONFIG, "neither HOME nor XDG_CACHE_HOME is set");
		return NULL;
	}
	dir = xasprintf("%s/telepresence", base);
	if ((mkdir(base, 0700) < 0 && errno != EEXIST) ||
		(mkdir(dir, 0700) < 0 && errno != EEXIST)) {
		err_set_errno(err, -errno, "%s", dir);
		return NULL;
	}
	return TAKE_PTR(dir);
}

struct daemon_log {
	int fd;
	char *path;
	off_t begin; /* what it says from there on is of the daemon that is started now */
};

static void close_log(struct daemon_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
}

static int open_log(const char *name, struct daemon_log *ret_log, struct err *err)
{
	auto_free char *dir = launch_cache_dir(err);
	auto_free char *path = NULL;
	auto_free char *aside = NULL;
	struct stat st;
	int fd;

	if (!dir)
		return err ? err->code : -ENOENT;
	path = xasprintf("%s/%s", dir, name);
	aside = xasprintf("%s.1", path);
	if (stat(path, &st) == 0 && st.st_size > LOG_MAX_BYTES)
		(void)rename(path, aside);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, -errno, "%s", path);
	*ret_log = (struct daemon_log){
		.fd = fd, .path = TAKE_PTR(path), .begin = lseek(fd, 0, SEEK_END)};
	return 0;
}

/* The last line that has come into the log since: why a daemon has just ended. */
static void last_line(const struct daemon_log *log, char out[static LOG_TAIL_BYTES])
{
	auto_close int fd = log->path ? open(log->path, O_RDONLY | O_CLOEXEC) : -1;
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n;
	char *line;

	out[0] = '\0';
	if (size <= log->begin)
		return;
	n = pread(fd, out, LOG_TAIL_BYTES - 1, MAX(size - (LOG_TAIL_BYTES - 1), log->begin));
	out[MAX(n, 0)] = '\0';
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		out[--n] = '\0';
	line = strrchr(out, '\n');
	if (line)
		memmove(out, line + 1, strlen(line));
}

/* Runs argv with stderr in the log and waits for its end, which for a daemon means that it serves.
 */
static int run(char *const argv[], int log, bool keep_stdin, int *ret_status, struct err *err)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = 0;
	int r;

	(void)posix_spawn_file_actions_init(&actions);
	if (!keep_stdin)
		(void)posix_spawn_file_actions_addopen(
			&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return err_set_errno(err, -r, "%s", argv[0]);
	while (waitpid(pid, ret_status, 0) < 0) {
		if (errno != EINTR)
			return err_set_errno(err, -errno, "waitpid");
	}
	return 0;
}

/* Whether the daemon serves, or why it does not. */
static int check_status(int status, const char *what, const struct daemon_log *log, struct err *err)
{
	char line[LOG_TAIL_BYTES];

	/* A conflict: another command was faster, and what it started serves us too. */
	if (WIFEXITED(status) &&
		(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == err_exit_code(ERR_CONFLICT)))
		return 0;
	last_line(log, line);
	return err_set(err, -ECHILD, ERR_INTERNAL, "the %s did not start: %s (see %s)", what,
		line[0] ? line : "it said nothing", log->path);
}

/* sudo's own words: there is no password, or nobody who may. */
static bool is_of_sudo(const char *line)
{
	return strncmp(line, "sudo: ", 6) == 0 || strncmp(line, "Sorry, ", 7) == 0 ||
	       strstr(line, "in the sudoers file");
}

/* sudo ends with status 1 where it starts nothing; the root daemon does so for nobody's fault. */
static int check_sudo(struct cli *cli, int status, const char *rootd, const struct daemon_log *log,
	struct err *err)
{
	char line[LOG_TAIL_BYTES];

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE) {
		last_line(log, line);
		if (is_of_sudo(line)) {
			(void)snprintf(cli->hint, sizeof(cli->hint),
				"Run it in a terminal, where sudo can ask for a password, or as "
				"root; or let an administrator put this into sudoers: "
				"USER ALL=(root) NOPASSWD: %.120s",
				rootd);
			return err_set(err, -EPERM, ERR_PERMISSION,
				"sudo does not start the root daemon: %s", line);
		}
	}
	return check_status(status, "root daemon", log, err);
}

static int own_path(char path[static PATH_BYTES], struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES - 1);

	if (n <= 0)
		return err_set_errno(err, -errno, "/proc/self/exe");
	path[n] = '\0';
	return 0;
}

int launch_userd(struct cli *cli, struct err *err)
{
	char path[PATH_BYTES], command[] = "userd", background[] = "--background";
	char *argv[] = {path, command, background, NULL};
	CLEANUP(close_log) struct daemon_log log = {.fd = -1};
	int status = 0;
	int r = own_path(path, err);

	if (r == 0)
		r = open_log("userd.log", &log, err);
	if (r < 0)
		return r;
	cli_say(cli, "Launching Telepresence User Daemon\n");
	r = run(argv, log.fd, false, &status, err);
	return r < 0 ? r : check_status(status, "user daemon", &log, err);
}

/* Installed beside this program; in a build tree one folder below. */
static char *find_rootd(struct err *err)
{
	char path[PATH_BYTES];
	char *slash;

	if (own_path(path, err) < 0)
		return NULL;
	slash = strrchr(path, '/');
	*slash = '\0';
	for (int i = 0; i < 2; i++) {
		auto_free char *candidate =
			xasprintf("%s/%s" ROOTD_NAME, path, i == 0 ? "" : "rootd/");

		if (access(candidate, X_OK) == 0)
			return TAKE_PTR(candidate);
	}
	err_set(err, -ENOENT, ERR_CONFIG, ROOTD_NAME " is not beside this program in %s", path);
	return NULL;
}

int launch_rootd(struct cli *cli, struct err *err)
{
	char sudo[] = "sudo", uid_flag[] = "--uid", background[] = "--background";
	auto_free char *uid = xasprintf("%u", getuid());
	auto_free char *rootd = find_rootd(err);
	char *argv[] = {sudo, rootd, uid_flag, uid, background, NULL};
	bool is_root = geteuid() == 0;
	CLEANUP(close_log) struct daemon_log log = {.fd = -1};
	int status = 0, r;

	if (!rootd)
		return -ENOENT;
	r = open_log("rootd.log", &log, err);
	if (r < 0)
		return r;
	cli_say(cli, "Launching Telepresence Root Daemon\n");
	if (!is_root)
		cli_say(cli, "sudo may ask for your password: a network device, routes and the DNS "
			     "redirect need root\n");
	r = run(is_root ? argv + 1 : argv, log.fd, true, &status, err);
	if (r == -ENOENT && !is_root)
		return err_set(
			err, r, ERR_PERMISSION, "there is no sudo here: run this command as root");
	if (r < 0)
		return r;
	return is_root ? check_status(status, "root daemon", &log, err)
		       : check_sudo(cli, status, rootd, &log, err);
}
