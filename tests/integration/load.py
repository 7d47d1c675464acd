# SPDX-License-Identifier: Apache-2.0
"""A steady load from one network namespace, and what became of each of its requests (tests/bench/asker.c)."""

import bisect
import os
import pathlib
import re
import subprocess
import tempfile
import time
import typing

from conftest import ROOT, wait_for

# asker.c gives a request up after 5 s, on a machine that runs.
LONGEST = 10
ASKER = ROOT / "build/release/tests/bench/asker"


class Request(typing.NamedTuple):
    begun: float
    ended: float
    answer: str  # what the server said, or "!" and why there was nothing

    @property
    def took(self):
        return self.ended - self.begun

    @property
    def failed(self):
        return self.answer.startswith("!")


def parse(line):
    begun, ended, answer = line.split(" ", 2)
    return Request(float(begun), float(ended), answer)


def lateness(control, begun, ended):
    """How late the machine itself was while something was under way: nothing of ours is in the control's way."""
    # They are told of as they end, each within LONGEST.
    first = bisect.bisect_left(control, begun, key=lambda one: one.ended)
    last = bisect.bisect_right(control, ended + LONGEST, key=lambda one: one.ended)
    return max((one.took for one in control[first:last] if one.begun <= ended), default=0)


def join(pid, other):
    """A process gets the share of the machine's time that another one has: that of its pod."""
    text = pathlib.Path(f"/proc/{other}/cgroup").read_text()
    found = re.search(r"^\d+:(?:[^:\n]*,)?cpu(?:,[^:\n]*)?:(.*)$", text, re.MULTILINE)
    folder = pathlib.Path("/sys/fs/cgroup") / ("cpu" if found else "")
    path = found[1] if found else re.search(r"^0::(.*)$", text, re.MULTILINE)[1]
    (folder / path.lstrip("/") / "cgroup.procs").write_text(f"{pid}\n")


class Server:
    """Answers everybody at an address of a network namespace with one word."""

    def __init__(self, net, address, port, text, like=None):
        """like: a process in a pod, whose share of the machine's time it has."""
        argv = ["nsenter", f"--net={net}", ASKER, "serve", address, str(port), text]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.process.stdout.readline() == b"ready\n"
        if like:
            join(self.process.pid, like)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Load:
    """`rate` requests a second from a network namespace while the block runs; `requests` are those that ended."""

    def __init__(self, net, address, port, rate):
        self.argv = ["nsenter", f"--net={net}", ASKER, "ask", address, str(port), str(rate)]
        self.requests = []

    def __enter__(self):
        handle, self.path = tempfile.mkstemp()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=handle)
        os.close(handle)
        self.output = open(self.path, encoding="ascii")  # noqa: SIM115  (closed by __exit__)
        self.part = ""
        return self

    def read(self):
        """Takes in what has ended since."""
        lines = (self.part + self.output.read()).split("\n")
        self.part = lines.pop()
        self.requests += map(parse, lines)
        return self.requests

    def stop(self):
        """Begins no more; returns when all have ended."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
            assert self.process.wait(60) == 0
        self.read()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.output.close()
        pathlib.Path(self.path).unlink()

    def since(self, moment):
        return [one for one in self.requests if one.begun >= moment]

    def wait_answered_by(self, text, seconds=60, window=0.25):
        """Waits until everybody who asked in a window was answered so; the moment from which on that was."""

        def steady():
            recent = self.read()[-2000:]
            over = [one for one in recent if one.begun >= begin]
            wrong = [one.begun for one in over if one.answer != text]
            first = max(wrong, default=begin)
            right = [one for one in over if one.begun > first]
            return right and right[-1].begun - right[0].begun >= window and right[0].begun

        begin = time.monotonic()
        return wait_for(f"all are answered by {text}", steady, seconds, 0.05)
