# SPDX-License-Identifier: Apache-2.0
"""supervisor - pid 1 of a node: makes its namespaces, starts the components and restarts them

Run by lifecycle as a script, with the path of a node.json. The first process joins the node's
cgroups and makes the namespaces; its child is pid 1 and lives until it is killed, and the kernel
then kills everything else in the node.

In the node's folder: pid (of pid 1, with its start time), pids/COMPONENT (as seen from outside),
components.json (restarts and last exit of each), log/COMPONENT. The delay before a restart is read
from the file restart-delay of the cluster each time, so that tests can change it.
"""

import http.client
import json
import os
import pathlib
import signal
import ssl
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from localcluster import cgroup, linux, sandbox  # noqa: E402  (run as a script, by path)
from localcluster.shell import process_start_time, read_text, write_file  # noqa: E402

DEFAULT_DELAY = 1.0
GATE_PAUSE = 0.1
INHERITED_FDS = 64


def _gate_is_open(gate):
    """True when the URL answers 200 to the given client certificate."""
    context = ssl.create_default_context(cafile=gate["ca"])
    if "cert" in gate:
        context.load_cert_chain(gate["cert"], gate["key"])
    url = urllib.parse.urlsplit(gate["url"])
    connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=2, context=context)
    try:
        connection.request("GET", url.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Component:
    """One supervised program."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings
        self.name = settings["name"]
        self.pid = 0
        self.restarts = 0
        self.last_exit = ""
        self.due = 0.0

    def start(self, outer_proc):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(outer_proc)
            except BaseException as error:
                os.write(2, f"supervisor: {self.name}: {error}\n".encode())
            finally:
                os._exit(127)

    def _become(self, outer_proc):
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        log = os.open(
            self.folder / "log" / self.name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )
        os.dup2(log, 1)
        os.dup2(log, 2)
        # The machine's own /proc, opened before the node's was mounted, knows our pid out there.
        write_file(self.folder / "pids" / self.name, os.readlink("self", dir_fd=outer_proc) + "\n")
        for gate in self.settings.get("gates", ()):
            while not _gate_is_open(gate):
                time.sleep(GATE_PAUSE)
        argv = self.settings["argv"]
        os.execv(argv[0], argv)

    def ended(self, status, delay):
        code = os.waitstatus_to_exitcode(status)
        self.last_exit = f"killed by signal {-code}" if code < 0 else f"exit {code}"
        self.pid = 0
        self.due = time.monotonic() + delay
        (self.folder / "pids" / self.name).unlink(missing_ok=True)


class Supervisor:
    def __init__(self, folder, settings, outer_proc):
        self.folder = folder
        self.outer_proc = outer_proc
        self.delay_file = settings["delay_file"]
        self.components = [Component(folder, one) for one in settings["components"]]

    def _delay(self):
        try:
            return max(0.0, float(read_text(self.delay_file)))
        except ValueError:
            return DEFAULT_DELAY

    def _publish(self):
        state = {
            one.name: {"running": bool(one.pid), "restarts": one.restarts, "exit": one.last_exit}
            for one in self.components
        }
        write_file(self.folder / "components.json", json.dumps(state) + "\n")

    def _start_due(self):
        for one in self.components:
            if not one.pid and one.due <= time.monotonic():
                one.restarts += 1 if one.last_exit else 0
                one.start(self.outer_proc)
        self._publish()

    def _reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for one in self.components:
                if one.pid == pid:
                    one.ended(status, self._delay())

    def serve(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        while True:
            self._start_due()
            waiting = [one.due for one in self.components if not one.pid]
            timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else 3600.0
            signal.sigtimedwait([signal.SIGCHLD], timeout)
            self._reap()


def _first_process(folder, settings):
    """Makes the namespaces and the pid 1 inside; returns only there."""
    mounts = settings["cgroup_mounts"]
    cgroup.join(settings["cgroup"], mounts)
    linux.enter_netns(settings["netns"])
    linux.unshare(
        linux.CLONE_NEWNS
        | linux.CLONE_NEWPID
        | linux.CLONE_NEWUTS
        | linux.CLONE_NEWIPC
        | linux.CLONE_NEWCGROUP
    )
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    # The child goes on when this end of the pipe closes, with our exit: it shares these mounts, and
    # must not put its own /proc there before ours was read.
    go_read, go_write = os.pipe()
    child = os.fork()
    if child:
        write_file(folder / "pid", f"{child} {process_start_time(child)}\n")
        os._exit(0)
    os.close(go_write)
    os.read(go_read, 1)
    os.closerange(3, INHERITED_FDS)  # the lock of the `up` that starts us


def main():
    folder = pathlib.Path(sys.argv[1]).parent
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
    os.setsid()
    os.umask(0o022)
    _first_process(folder, settings)
    outer_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    sandbox.enter(settings["hostname"], settings["cgroup_mounts"], settings["keep"])
    os.environ["PATH"] = settings["path"]
    os.chdir("/")
    Supervisor(folder, settings, outer_proc).serve()


if __name__ == "__main__":
    main()
