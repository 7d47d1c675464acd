# SPDX-License-Identifier: Apache-2.0
"""One thing killed while an intercept is asked 200 times a second: what that cuts, and what it leaves."""

import contextlib
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import wait_for
from kills import AT_ONCE, Death, World, kill, wrong
from load import lateness
from nets import CLONE_NEWNET, LIBC, pids_of
from shop import RATE, shop as open_shop


@pytest.fixture(scope="module")
def shop(cluster):
    with open_shop(cluster, "kills") as made:
        yield made


def test_the_root_daemons_death_cuts_no_request(connected, cluster, shop):
    """The user daemon ends with it, but not before those that it has taken are answered."""
    world = World(cluster)
    load, control = shop.loads()
    with shop.laptop_serves(), load, control:
        connected.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        assert kill("rootd", world.daemon("rootd"))
        load.wait_answered_by("app")
        load.stop()
        control.stop()
    assert not wrong(load.requests, [control.requests], [], []), [one for one in load.requests if one.failed]
    wait_for("the user daemon's end", lambda: not connected.daemons())


def test_an_agent_that_dies_while_the_api_server_is_dead_comes_back(connected, cluster, shop):
    """Asked for without an answer, it is asked for again: what the manager knows of the pod is from before."""
    world = World(cluster)
    load, control = shop.loads()
    with shop.laptop_serves(), load, control:
        connected.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        with world.restart_delay(5):
            dead = [kill("kube-apiserver", world.component("kube-apiserver")), kill("agent", shop.agents()[0])]
            wait_for("the API server", world.healthy)
        load.wait_answered_by("laptop")
        load.stop()
        control.stop()
    assert not wrong(load.requests, [control.requests], dead, [])
    connected.telepresence("leave", "shop")


def test_connecting_while_the_former_connection_ends_waits_for_it(connected, cluster):
    """The user daemon ends with the root daemon, for which it has its time while the API server is silent."""
    world = World(cluster)
    former = connected.daemons()
    silent = world.component("kube-apiserver")
    os.kill(silent, signal.SIGSTOP)
    try:
        assert kill("rootd", former["rootd"])
        process = world.telepresence("connect")
        said = wait_for("a word of it", lambda: "former connection" in (line := process.stderr.readline()) and line)
        print(said)
    finally:
        os.kill(silent, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert connected.status()["user_daemon"]["status"] == "Connected"
    assert not set(former.values()) & set(connected.daemons().values())


def test_a_manager_that_dies_while_the_new_network_is_tested(laptop, cluster):
    """The device and its routes are there by then: it goes on with them, with the next manager."""
    world = World(cluster)
    for _ in range(5):
        manager = wait_for("the manager", world.manager)
        process = world.telepresence("connect")
        assert any("Routing" in line for line in process.stderr)
        # Names and connections are not answered any more, and then the tunnel is lost.
        os.kill(manager, signal.SIGSTOP)
        assert any("Looking up" in line for line in process.stderr)
        assert kill("manager", manager)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        laptop.telepresence("quit")
        # The test may have been faster.
        if "Opening a tunnel" in err:
            break


@pytest.mark.parametrize("words", [("quit",), ("quit", "-s")])
def test_connecting_while_quit_is_under_way(connected, cluster, words):
    """At whatever moment of it: then there is a connection."""
    world = World(cluster)
    for pause in (0, 0.02, 0.1):
        quitting = world.telepresence(*words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            quitting.wait(pause)
        code, _, err = world.command("connect")
        quitting.communicate(timeout=60)
        assert code == 0, err
        assert world.command("connect")[0] == 0
        assert connected.status()["user_daemon"]["status"] == "Connected"


def sessions(cluster):
    return [one["metadata"]["name"] for one in cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]]


def test_connecting_again_ends_what_a_killed_daemon_left(connected, cluster, shop):
    """Not its time-out is waited for: the same port is intercepted by another name at once."""
    world = World(cluster)
    connected.telepresence("intercept", "first", *shop.args)
    left = connected.status()["user_daemon"]["session"]
    kill("userd", world.daemon("userd"))
    wait_for("the root daemon's end", lambda: not connected.daemons())
    assert left in sessions(cluster)
    connected.connect()
    connected.telepresence("intercept", "second", *shop.args)
    assert left not in sessions(cluster)
    connected.telepresence("leave", "second")


def hold(net, address, count, held):
    """Opens connections from a network namespace and says nothing."""

    def work():
        handle = os.open(net, os.O_RDONLY | os.O_CLOEXEC)
        LIBC.setns(handle, CLONE_NEWNET)
        os.close(handle)
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((address, 8080))
            held.append(one)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_an_agent_without_memory_leaves_the_port_to_the_app(connected, cluster, shop):
    """Killed by the kernel: its container has little more than it uses, then come connections that need it."""
    pod, held = shop.pods[0], []
    load, control = shop.loads(pod["status"]["podIP"], 8080)
    with shop.laptop_serves(), load, control, contextlib.ExitStack() as stack:
        connected.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        (pid,) = pids_of(pod["metadata"]["uid"], "/traffic-agent")
        handle = os.pidfd_open(pid)
        stack.callback(os.close, handle)
        stack.callback(lambda: [one.close() for one in held])
        memory = re.search(r":memory:(.*)", pathlib.Path(f"/proc/{pid}/cgroup").read_text())[1]
        group = pathlib.Path("/sys/fs/cgroup/memory") / memory.lstrip("/")
        used = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(f"{used + (256 << 10)}\n")
        begun = time.monotonic()
        hold(shop.client, pod["status"]["podIP"], 3000, held)
        assert select.select([handle], [], [], 60)[0], "it lives"
        death = Death("agent", begun, time.monotonic())
        wait_for("requests after it", lambda: load.read() and len(load.since(death.dead)) > RATE)
        load.stop()
        control.stop()
    later = load.since(death.dead)
    assert len(later) > RATE / 2
    bad = [
        one
        for one in later
        if one.failed or one.took > AT_ONCE + lateness(control.requests, one.begun, one.ended)
    ]
    assert not bad, bad[:20]
    connected.telepresence("leave", "shop")
