# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random points of connect, traffic and quit: nothing is left, and the next connect works.

And the same without a kill, many times: what the daemons and the manager hold does not grow.
"""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from agents import Holdings
from conftest import LONG, wait_for
from kills import World, dice, kill

KILLS = 100 if LONG else 10
CONNECTS = 1000 if LONG else 30
# Of ten kills; what the cluster takes long to start again is killed less often.
TEN = ("userd",) * 3 + ("rootd",) * 3 + ("manager",) * 2 + ("kube-apiserver", "coredns")
# How long each phase may run before the kill, so that any point of it can be hit.
PHASES = {"connect": 0.6, "traffic": 0.3, "quit": 0.2}
# What `quit` may take, whoever is dead.
QUIT = 2.0


@contextlib.contextmanager
def downloads(world, address):
    """Downloads that never end by themselves."""
    script = f"while :; do curl -s --max-time 5 -o /dev/null http://{address}/; done"
    argv = ["ip", "netns", "exec", world.netns, "sh", "-c", script]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def strike(world, rng, phase, victim, address):
    """Of a connected laptop: brings it into a phase and kills in the midst of it; None where nobody was hit."""
    words = {"connect": ["connect"], "traffic": None, "quit": rng.choice([["quit"], ["quit", "-s"]])}[phase]
    with contextlib.ExitStack() as stack:
        if phase == "connect":
            assert world.command("quit", "-s")[0] == 0
        else:
            stack.enter_context(downloads(world, address))
        process = world.telepresence(*words) if words else None
        time.sleep(rng.uniform(0, PHASES[phase]))
        pid = world.pid(victim, rng)
        death = kill(victim, pid) if pid else None
        if process:
            process.communicate(timeout=60)
        return death


def connects(world):
    code, _, err = world.command("connect")
    return code == 0 or pytest.fail(err)


def answers(world, address):
    curl = ["curl", "-s", "--max-time", "2", "-o", "/dev/null", f"http://{address}/"]
    argv = ["ip", "netns", "exec", world.netns, *curl]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode == 0


def test_whoever_is_killed_whenever_nothing_is_left_and_the_next_connect_works(laptop, cluster):
    rng = dice("random kills of connect")
    world = World(cluster)
    before = laptop.snapshot()
    connects(world)
    address, left = cluster.cluster_ip(), rng.sample(TEN * (KILLS // 10), KILLS)
    while left:
        victim, phase = left[-1], rng.choice(list(PHASES))
        hit = strike(world, rng, phase, victim, address)
        if hit:
            left.pop()
        said = f"{victim} killed during {phase}"
        print(f"{said}: {hit}")
        begun = time.monotonic()
        world.command("quit", "-s")
        took = time.monotonic() - begun
        wait_for(f"{said}: daemons gone", lambda: not laptop.daemons(), 5)
        assert laptop.snapshot() == before, said
        assert took < QUIT, f"{said}: quit took {took:.1f} s"
        wait_for(f"{said}: the cluster", lambda: world.healthy() and world.resolves(), 60)
        connects(world)
        wait_for(f"{said}: traffic", lambda: answers(world, "web.demo"), 10)


def test_connecting_again_and_again_holds_no_more(connected, cluster):
    """Of the daemon that stays and the manager; the root daemon is another one each time."""
    world = World(cluster)

    def rounds(count):
        for _ in range(count):
            assert world.command("quit")[0] == 0
            connects(world)

    rounds(5)
    holdings = Holdings(**{name: world.pid(name, None) for name in ("userd", "manager")})
    rounds(CONNECTS)
    holdings.check()
    sessions = cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]
    assert [one["metadata"]["name"] for one in sessions] == [connected.status()["user_daemon"]["session"]]
