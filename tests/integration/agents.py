# SPDX-License-Identifier: Apache-2.0
"""The agents' processes in the pods of the stage, as seen from the machine that the cluster runs on."""

import contextlib
import os
import pathlib
import re

from conftest import wait_for
from nets import pids_of

TCP_LISTEN = "0A"
# Fewer are no growth: a lookup or a log line may be under way.
SLACK_FDS = 3
SLACK_KB = 1024
# What an idle one may have in any case.
SMALL_KB = 8192


class Process:
    """What a process holds."""

    def __init__(self, pid):
        self.pid = pid

    def status(self, key):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return re.search(rf"^{key}:\s+(\S+)", text, re.MULTILINE)[1]

    def resident_kb(self):
        return int(self.status("VmRSS"))

    def alive(self):
        try:
            return self.status("State") != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Holdings:
    """What some processes hold, which is no more after whatever is done between two looks."""

    def __init__(self, **pids):
        self.processes = {name: Process(pid) for name, pid in pids.items()}
        self.before = self.now()
        print(f"descriptors and KB: {self.before}")

    def now(self):
        return {name: (one.descriptors(), one.resident_kb()) for name, one in self.processes.items()}

    def grown(self):
        before, now = self.before, self.now()
        return {
            name: (before[name], now[name])
            for name in now
            if now[name][0] > before[name][0] + SLACK_FDS or now[name][1] > max(before[name][1] + SLACK_KB, SMALL_KB)
        }

    def check(self):
        """Memory is given back within seconds."""
        wait_for(f"no more than {self.before}", lambda: not self.grown())
        print(f"descriptors and KB afterwards: {self.now()}")


class Agent(Process):
    """A running traffic-agent."""

    def __init__(self, pod, pid):
        super().__init__(pid)
        self.pod = pod

    def sockets(self):
        """The agent's own TCP and UDP sockets, as rows of /proc/net: state and addresses."""
        inodes = set()
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
            if match:
                inodes.add(match[1])
        rows = []
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in pathlib.Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    rows.append({"table": table, "local": fields[1], "remote": fields[2], "state": fields[3]})
        return rows

    def listeners(self):
        return [row for row in self.sockets() if row["state"] == TCP_LISTEN]


def agents_of(stage, app="web"):
    """The running agents, one a pod; without those that only have a container's environment."""
    return [Agent(pod, pid) for pod in stage.pods(app) for pid in ours_of(pod) if is_agent(pid)]


def ours_of(pod):
    """The pids of all that runs our program in a pod."""
    return pids_of(pod["metadata"]["uid"], "/traffic-agent")


def is_agent(pid):
    with contextlib.suppress(OSError):
        return b"\0--name=telepresence-agent-" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def containers_of(stage, app="web"):
    """Names of the agents' containers that the pods' specs have, by pod; the newest is the last."""
    return {pod["metadata"]["name"]: [one["name"] for one in specs_of(pod)] for pod in stage.pods(app)}


def specs_of(pod):
    return sorted(pod["spec"].get("ephemeralContainers", []), key=lambda one: int(one["name"].rpartition("-")[2]))


def statuses_of(pod):
    return {one["name"]: one["state"] for one in pod["status"].get("ephemeralContainerStatuses", [])}
