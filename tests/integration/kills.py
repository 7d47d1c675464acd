# SPDX-License-Identifier: Apache-2.0
"""Who can be killed while an intercept serves, when each was dead and back, and the person who starts things again."""

import contextlib
import json
import os
import pathlib
import select
import signal
import threading
import time
import typing

from conftest import run
from localcluster import plan
from nets import pids_of

TICKS = os.sysconf("SC_CLK_TCK")
HEALTH = {"kubelet": "http://127.0.0.1:10248/healthz"}
# What flows through these is cut with them. Nothing flows through the others.
CARRIES = {"userd", "manager", "agent", "kube-apiserver"}


class Death(typing.NamedTuple):
    victim: str
    killed: float
    dead: float  # the kernel has taken back everything it had


def started(pid):
    """When a process was started, on the clock of time.monotonic()."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return time.monotonic() - (uptime - int(fields[19]) / TICKS)


def kill(victim, pid):
    """Kills -9 and waits for the process's end; None when it was gone already."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        killed = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], 10)
        return Death(victim, killed, time.monotonic())
    finally:
        os.close(handle)


class World:
    """The processes of one cluster and one laptop."""

    def __init__(self, cluster, laptop, pods):
        self.cluster, self.laptop, self.pods = cluster, laptop, pods
        the_plan = plan.get(cluster.name)
        self.node_net = f"/run/netns/{the_plan.nodes[0].netns}"
        self.inode = os.stat(f"/run/netns/{the_plan.netns('laptop')}").st_ino
        self.uids = [pod["metadata"]["uid"] for pod in pods]

    def daemon(self, name):
        """Pid of userd or rootd on the laptop, or None."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                ours = os.path.basename(argv[0]) == (b"telepresence-rootd" if name == "rootd" else b"telepresence")
                if ours and (name == "rootd" or argv[1] == b"userd") and (entry / "ns/net").stat().st_ino == self.inode:
                    return int(entry.name)
        return None

    def agents(self):
        return [pid for uid in self.uids for pid in pids_of(uid, "/traffic-agent")]

    def component(self, name):
        try:
            return self.cluster.component_pid(name)
        except (OSError, ValueError):
            return None

    def manager(self):
        with contextlib.suppress(BaseException):
            return self.cluster.manager_pid()
        return None

    def pid(self, victim, rng):
        if victim in ("userd", "rootd"):
            return self.daemon(victim)
        if victim == "agent":
            return rng.choice(self.agents() or [None])
        return self.manager_by_proc() if victim == "manager" else self.component(victim)

    def manager_by_proc(self):
        """Without asking the API server, which may be dead: of this cluster's cgroups, the one program."""
        root = f"tp-{self.cluster.name}-"
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                if os.path.basename(argv[0]) == b"traffic-manager" and root in (entry / "cgroup").read_text():
                    return int(entry.name)
        return None

    def healthy(self):
        """Of each part of the cluster that can be killed: it runs and says that it is well."""
        if run(["nsenter", f"--net={self.node_net}", "curl", "-sf", HEALTH["kubelet"]], check=False).returncode != 0:
            return False
        try:
            ready = self.cluster.script(
                "kubectl", "--cluster", self.cluster.name, "get", "--raw", "/readyz", "--request-timeout=2s", check=False
            )
        except Exception:  # noqa: BLE001  (it hangs now and then while the server starts)
            return False
        return ready.returncode == 0 and self.manager_by_proc() is not None


class Person(threading.Thread):
    """Connects and intercepts again whenever that is gone."""

    def __init__(self, world, name, *args):
        super().__init__(daemon=True)
        self.world, self.name_, self.args = world, name, args
        self.began = time.monotonic()  # the last time that the laptop was connected
        self.over = threading.Event()
        self.said = []

    def command(self, *args):
        done = self.world.laptop.telepresence(*args, check=False, timeout=60)
        if done.returncode != 0:
            self.said.append(f"{time.monotonic():.2f} {' '.join(args[:2])}: {done.stderr.strip()[-300:]}")
        return done

    def intercepted(self):
        done = self.world.laptop.telepresence("status", "--output", "json", check=False, timeout=30)
        with contextlib.suppress(ValueError, KeyError):
            found = json.loads(done.stdout)["user_daemon"]["intercepts"]
            return any(one["name"] == self.name_ for one in found)
        return False

    def repair(self):
        if self.world.daemon("userd") and self.world.daemon("rootd") and self.intercepted():
            return True
        if self.command("connect").returncode != 0:
            return False
        self.began = time.monotonic()
        return self.command("intercept", self.name_, *self.args).returncode == 0

    def run(self):
        while not self.over.wait(0.1):
            self.repair()

    def stop(self):
        self.over.set()
        self.join(90)
