# SPDX-License-Identifier: Apache-2.0
"""The one agent of a pod: when the answer to its placing is lost, and when something else has its rules."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from agents import specs_of
from conftest import run, wait_for
from kills import World, controllers_are_back, kill
from localcluster import plan
from nets import pids_of
from shop import shop as open_shop, sleeper_of

# Without a word of its kubelet an agent that is lost is placed anew after two seconds.
LOST = 3.5
# What is written of a pod at least.
A_POD = 2000


@pytest.fixture(scope="module")
def shop(cluster):
    with open_shop(cluster, "seats") as made:
        yield made


def unread(world):
    """What etcd has been sent and has not read, in bytes."""
    rows = run(["nsenter", f"--net={world.node_net}", "ss", "-tnH", "sport = :2379"]).stdout.splitlines()
    return sum(int(row.split()[1]) for row in rows)


@contextlib.contextmanager
def unwritten(world):
    """What is asked to be written is written when the block ends; the kubelets ask for nothing."""
    nodes = plan.get(world.cluster.name).nodes
    pids = [world.component("etcd"), *(int((node.dir / "pids/kubelet").read_text()) for node in nodes)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_an_agent_whose_placing_is_not_answered_is_the_only_one(connected, cluster, shop):
    """The API server dies between doing it and saying so: the manager asks for the same agent again."""
    world = World(cluster)
    load, control = shop.loads()
    with shop.laptop_serves(), load, control:
        connected.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        pod = shop.pods[0]
        with unwritten(world):
            before = unread(world)
            death = kill("agent", pids_of(pod["metadata"]["uid"], "/traffic-agent")[0])
            late, much = death.dead + LOST, before + A_POD
            wait_for("the placing", lambda: time.monotonic() > late and unread(world) > much)
            assert kill("kube-apiserver", world.component("kube-apiserver"))
        load.wait_answered_by("laptop")
    (now,) = [one for one in cluster.pods(shop.namespace, "shop") if one["metadata"]["uid"] == pod["metadata"]["uid"]]
    assert [one["name"] for one in specs_of(now)] == ["telepresence-agent-1", "telepresence-agent-2"]
    assert len(shop.agents()) == len(shop.pods)
    connected.telepresence("leave", "shop")


@contextlib.contextmanager
def table(pid):
    """Somebody else's table of the agent's name in a pod, until the block ends."""
    argv = ["nsenter", "-t", str(pid), "-n", "nft", "-i"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        process.stdin.write("add table inet telepresence { flags owner; }\n")
        process.stdin.flush()
        shown = ["nsenter", "-t", pid, "-n", "nft", "list", "tables"]
        wait_for("a table", lambda: "inet telepresence" in run(shown).stdout)
        yield
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def test_an_agent_waits_for_the_rules_of_another(connected, shop):
    """Two agents in one pod for a moment: the kernel gives the rules to one of them."""
    pod = shop.pods[0]
    load, control = shop.loads(pod["status"]["podIP"], 8080)
    with shop.laptop_serves(), load, control:
        with table(sleeper_of(pod)):
            process = connected.popen("telepresence", "intercept", "shop", *shop.args, stderr=subprocess.PIPE)
            wait_for("the other pods", lambda: "2 of 3" in process.stderr.readline())
            assert process.poll() is None
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        load.wait_answered_by("laptop")
    connected.telepresence("leave", "shop")


def test_uninstalled_no_agent_is_left_that_had_lost_its_manager(connected, cluster, shop):
    """A manager that has just been started knows nothing of pods that nobody intercepts any more."""
    world = World(cluster)
    controllers_are_back(cluster)
    connected.telepresence("intercept", "shop", *shop.args)
    connected.telepresence("leave", "shop")
    assert len(shop.agents()) == len(shop.pods)
    assert kill("manager", world.manager())
    wait_for("the next manager", world.manager)
    connected.telepresence("uninstall", "--everything", timeout=120)
    # Without a manager they would end by themselves after a minute.
    wait_for("no agent", lambda: not shop.agents(), 40)
