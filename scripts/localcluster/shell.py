# SPDX-License-Identifier: Apache-2.0
"""shell - running commands, waiting for conditions, and telling the person what takes how long"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time


class Failure(Exception):
    """Something the person should read: the text says what failed and what to do next."""


# Descriptors of held locks. Short commands inherit them: when an `up` is killed, the next `down`
# waits until the command that was at work has ended, and so finds everything it made.
held_locks = []
# Ways out of the machine's own network: nothing in a cluster's network namespaces reaches them.
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def forget_proxies():
    """For what is started from now on."""
    for name in PROXIES:
        os.environ.pop(name, None)


def become(argv):
    """This process is argv from now on, with the signals as a shell would give them: Python ignores some."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(argv[0], [str(arg) for arg in argv])


def run(argv, stdin=None, env=None):
    """Runs a command that must succeed; returns what it wrote to stdout."""
    done = subprocess.run(
        [str(arg) for arg in argv],
        input=stdin,
        env=env,
        capture_output=True,
        text=True,
        pass_fds=held_locks,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise Failure(f"{' '.join(str(arg) for arg in argv)}: exit {done.returncode}\n{said}")
    return done.stdout


def succeeds(argv):
    return subprocess.run([str(arg) for arg in argv], capture_output=True).returncode == 0


def wait_for(what, condition, seconds, pause=0.05):
    """Calls condition() until it returns something true, which it returns."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def write_file(path, content, mode=0o644):
    """Writes a file so that readers see the old or the new one, never a part."""
    path = pathlib.Path(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    os.chmod(fresh, mode)
    os.rename(fresh, path)


def read_text(path):
    """The file's content, or an empty string where there is no such file."""
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return ""


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title):
    """Names a step when it is done, with the time it took."""
    start = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"  failed {time.monotonic() - start:6.1f} s  {title}")
        raise
    say(f"  {time.monotonic() - start:6.1f} s  {title}")


def process_start_time(pid):
    """Field 22 of /proc/PID/stat; with the pid it names one process for ever. None: it is gone."""
    stat = read_text(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if not fields or fields[0] in "ZX":
        return None
    return fields[19]
