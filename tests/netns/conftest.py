# SPDX-License-Identifier: Apache-2.0
"""Shared by the namespace tests: namespaces of their own, the built programs, and a picture of
what the kernel holds, so that a test can say that nothing was left.

The programs are those of build/dev, or of the folder that TP_BUILD_DIR names.
"""
import itertools
import json
import os
import pathlib
import select
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import traces  # noqa: E402  (found by the line above, as is timing)

BUILD = pathlib.Path(os.environ.get("TP_BUILD_DIR", ROOT / "build" / "dev"))
# For what is there at once, unless the machine is very busy.
DEADLINE_S = 60
_counter = itertools.count()


def program(name):
    """Path of a built program."""
    for path in sorted(BUILD.rglob(name)):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise AssertionError(f"{name} is not built below {BUILD}")


def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Returns the first true value of condition(); fails after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        select.select([], [], [], 0.01)


def read_line(stream, what, deadline_s=DEADLINE_S):
    """One line of a pipe opened unbuffered or line by line, within the deadline."""
    ready, _, _ = select.select([stream], [], [], deadline_s)
    assert ready, f"not within {deadline_s} s: {what}"
    return stream.readline()


class Netns:
    """A network namespace; dies with everything that runs in it."""

    def __init__(self, label):
        self.name = f"tpt-{os.getpid()}-{next(_counter)}-{label}"
        self.children = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *args):
        return ["ip", "netns", "exec", self.name, *[str(a) for a in args]]

    def run(self, *args, check=True, **kwargs):
        """Runs to the end; the completed process with its text."""
        kwargs.setdefault("timeout", DEADLINE_S)
        return subprocess.run(self.command(*args), check=check, text=True, capture_output=True,
                              **kwargs)

    def popen(self, *args, **kwargs):
        """Starts a process that is killed with the namespace."""
        child = subprocess.Popen(self.command(*args), **kwargs)
        self.children.append(child)
        return child

    def json(self, *args):
        """`ip -j ARGS`."""
        return json.loads(self.run("ip", "-j", *args).stdout or "[]")

    def pids(self):
        out = subprocess.run(["ip", "netns", "pids", self.name], check=True, text=True,
                             capture_output=True).stdout
        return sorted(int(pid) for pid in out.split())

    def snapshot(self):
        """What a process could leave behind here, comparable with ==."""
        return traces.network(lambda *argv: self.run(*argv).stdout) | {
            "sockets": self.run("ss", "-xlH").stdout.count("telepresence"),
            "pids": self.pids(),
        }

    def owns_addresses(self):
        """Whether packets for them are its own: the kernel adds the local route of an IPv6 address a moment after the address."""
        routes = self.run("ip", "-6", "route", "show", "table", "local").stdout
        return all(f"local {one['local']} " in routes for link in self.json("-6", "addr") for one in link["addr_info"])

    def settled(self):
        """A snapshot of what has just been made."""
        wait_for(self.owns_addresses, "a route to each address of its own")
        return self.snapshot()

    def assert_as(self, before, deadline_s=DEADLINE_S / 2):
        traces.assert_as(self.snapshot, before, deadline_s)

    def delete(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait(timeout=DEADLINE_S)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
        for pid in self.pids():
            os.kill(pid, 9)
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def make_netns():
    """make_netns("laptop") makes a namespace that the test's end removes."""
    made = []

    def make(label):
        made.append(Netns(label))
        return made[-1]

    yield make
    for netns in reversed(made):
        netns.delete()


@pytest.fixture
def netns(make_netns):
    return make_netns("host")


def rig_of(kind):
    """The fixture `rig` of a file: one of this kind for each of its tests."""

    @pytest.fixture(name="rig")
    def rig(make_netns):
        made = kind(make_netns)
        yield made
        made.close()

    return rig


def veth(one, two, addr_one, addr_two, name="lan"):
    """Joins two namespaces; addresses are ADDR/LEN of both families, lists allowed."""
    peer = f"p{next(_counter)}-{os.getpid() % 10000}"
    subprocess.run(["ip", "link", "add", name, "netns", one.name, "type", "veth", "peer", "name",
                    peer, "netns", two.name], check=True)
    two.run("ip", "link", "set", peer, "name", name)
    for netns_, addrs in ((one, addr_one), (two, addr_two)):
        netns_.run("ip", "link", "set", name, "up")
        for addr in [addrs] if isinstance(addrs, str) else addrs:
            nodad = ["nodad"] if ":" in addr else []
            netns_.run("ip", "addr", "add", addr, "dev", name, *nodad)
    for netns_ in (one, two):
        wait_for(lambda netns_=netns_: is_up(netns_, name), f"{name} of {netns_.name}")
        wait_for(netns_.owns_addresses, f"a route to each address of {netns_.name}")


def is_up(netns_, name):
    """Until the kernel has seen to both ends it drops what they send, and an ARP request is repeated after a second."""
    return " state UP " in netns_.run("ip", "-o", "link", "show", name).stdout
