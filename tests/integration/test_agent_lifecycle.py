# SPDX-License-Identifier: Apache-2.0
"""The agent's process: what it may do, what it holds while idle, and that nothing is left when it ends."""

import contextlib
import os
import signal
import time

import pytest

from agents import Holdings, agents_of, containers_of, statuses_of
from conftest import LONG, run, wait_for
from load import Load, lateness
from managers import setting
from nets import until
from timing import best_of, took

NET_ADMIN = 1 << 12
ROUNDS = 1000 if LONG else 25


@pytest.fixture
def web(joined):
    """Every pod of web has an agent, which was used and is idle."""
    with joined.intercept("web", "--port", "8080:http"):
        pass
    wait_for("idle agents", lambda: not any(joined.rulesets().values()))
    assert len(agents_of(joined)) == len(joined.pods())
    return joined


def by_pod(web):
    return {agent.pod["metadata"]["name"]: agent for agent in agents_of(web)}


def test_it_has_one_capability_and_few_system_calls(web):
    for agent in agents_of(web):
        for name in ("CapEff", "CapPrm", "CapBnd"):
            assert int(agent.status(name), 16) == NET_ADMIN, name
        assert int(agent.status("CapInh"), 16) == int(agent.status("CapAmb"), 16) == 0
        assert agent.status("NoNewPrivs") == "1"
        assert agent.status("Seccomp") == "2"
        # The runtime's default and its own.
        assert int(agent.status("Seccomp_filters")) >= 2


def test_its_token_is_not_in_proc(web):
    for agent in agents_of(web):
        argv = open(f"/proc/{agent.pid}/cmdline", "rb").read().split(b"\0")
        token = next(one for one in argv if one.startswith(b"--token="))
        assert token == b"--token="


def test_idle_it_holds_one_connection_and_nothing_else(web):
    for agent in agents_of(web):
        # A connection that was just given back to the app may still be closing.
        (row,) = wait_for("one socket", lambda agent=agent: len(rows := agent.sockets()) == 1 and rows)
        assert row["table"] in ("tcp", "tcp6") and int(row["remote"].rpartition(":")[2], 16) == 8082
    assert not any(web.rulesets().values())


def test_idle_it_is_small(web):
    for agent in agents_of(web):
        # It lets go of what configuring needed a moment later.
        wait_for("at most 6 MB", lambda agent=agent: agent.resident_kb() <= 6 * 1024)


def test_a_later_intercept_uses_it_again(web):
    before, containers = {name: agent.pid for name, agent in by_pod(web).items()}, containers_of(web)
    with web.local(), web.intercept("web", "--port", "8080:http"):
        web.all_pods_say("laptop")
    assert {name: agent.pid for name, agent in by_pod(web).items()} == before
    assert containers_of(web) == containers


def test_its_listeners_are_on_loopback_only(web):
    with web.local(), web.intercept("web", "--port", "8080:http", "--port", "5354:dns"):
        for agent in agents_of(web):
            assert len(agent.listeners()) >= 1
            for row in agent.sockets():
                address = row["local"].rpartition(":")[0]
                connected = int(row["remote"].rpartition(":")[2], 16) != 0
                assert connected or address in ("0100007F", "00000000000000000000000001000000"), row


def test_told_to_end_it_ends_at_once_and_another_one_comes(web):
    """SIGTERM, as the kubelet sends it: exit status 0, and the app has its port back meanwhile."""
    with web.local(), web.intercept("web", "--port", "8080:http"):
        web.all_pods_say("laptop")
        agents = iter(agents_of(web))

        def attempt():
            agent = next(agents)
            name, address = agent.pod["metadata"]["name"], agent.pod["status"]["podIP"]
            container = containers_of(web)[name][-1]
            os.kill(agent.pid, signal.SIGTERM)
            seconds, _ = took(until, lambda: not agent.alive(), pause=0.002)
            assert web.client.ask(address, 8080) in (f"pod {name}", "laptop")
            web.all_pods_say("laptop")
            wait_for("its status", lambda: "terminated" in statuses_of(pod_named(web, name))[container])
            assert statuses_of(pod_named(web, name))[container]["terminated"]["exitCode"] == 0
            assert containers_of(web)[name][-1] != container
            return seconds

        best_of(attempt, 0.5, tries=3)


def pod_named(web, name):
    return next(pod for pod in web.pods() if pod["metadata"]["name"] == name)


def test_killed_it_leaves_no_rule_and_the_app_serves_within_a_tenth_of_a_second(web):
    """As the kernel kills it when memory runs out."""
    # A pod that nobody intercepts tells what the machine itself adds.
    control = Load(web.client.path, web.pods("solo")[0]["status"]["podIP"], 8080, 50)
    with web.local(), web.intercept("web", "--port", "8080:http"), control:
        web.all_pods_say("laptop")
        agents = iter(agents_of(web))

        def attempt():
            agent, answers = next(agents), []
            address = agent.pod["status"]["podIP"]
            os.kill(agent.pid, signal.SIGKILL)
            # What it accepts until it is gone is cut with it.
            assert until(lambda: not os.path.exists(f"/proc/{agent.pid}/ns/net"), pause=0.001)

            def served():
                answers.append(web.client.ask(address, 8080, timeout=1))
                return answers[-1].startswith(("pod ", "laptop"))

            start = time.monotonic()
            assert until(served, pause=0.005), answers
            end = time.monotonic()
            wait_for("the control's answers", lambda: any(one.begun > end for one in control.read()))
            return max(0, end - start - lateness(control.requests, start, end))

        best_of(attempt, 0.1, tries=3)
        web.all_pods_say("laptop")


def test_without_a_manager_it_gives_the_ports_back_and_takes_them_again(web):
    """The rules stay for 10 s, in which a restarted manager is back; then new connections need not pass an agent."""
    cluster = web.cluster
    with web.local(), web.intercept("web", "--port", "8080:http"):
        pids = sorted(agent.pid for agent in agents_of(web))
        try:
            cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=0")
            wait_for("no manager", lambda: not cluster.manager_pod())
            assert all(web.rulesets().values())
            wait_for("no rules", lambda: not any(web.rulesets().values()))
            for pod in web.pods():
                assert web.client.ask(pod["status"]["podIP"], 8080) == f"pod {pod['metadata']['name']}"
        finally:
            cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=1")
        web.all_pods_say("laptop")
        assert sorted(agent.pid for agent in agents_of(web)) == pids


UNREACHED = "add table inet late; add chain inet late c { type filter hook prerouting priority -300; }; add rule inet late c %s"


@contextlib.contextmanager
def unreached(web):
    """No agent reaches the manager, as while nodes do not lead to it yet."""
    rule = UNREACHED % "tcp dport 8082 drop"
    try:
        for node in web.plan.nodes:
            run(["ip", "netns", "exec", node.netns, "nft", rule])
        yield
    finally:
        for node in web.plan.nodes:
            run(["ip", "netns", "exec", node.netns, "nft", "delete table inet late"])


def test_a_manager_that_is_reached_late_goes_on_with_the_agents_that_there_are(web):
    with web.local(), web.intercept("web", "--port", "8080:http"):
        before, containers = sorted(agent.pid for agent in agents_of(web)), containers_of(web)
        with unreached(web):
            manager = web.cluster.manager_pid()
            os.kill(manager, signal.SIGKILL)
            wait_for("the next manager", lambda: web.cluster.manager_pid() != manager and web.intercepts())
            # Longer than it waits for one agent when others have come.
            time.sleep(4)
        web.all_pods_say("laptop")
        assert sorted(agent.pid for agent in agents_of(web)) == before
        assert containers_of(web) == containers


def test_many_intercepts_leave_nothing_behind(web):
    """Nor do they take more and more of anybody: descriptors, memory, rules, objects, containers."""

    def state():
        rules = web.rulesets()
        return [(one.pid, one.descriptors(), rules[one.pod["metadata"]["name"]]) for one in agents_of(web)]

    def sessions():
        return {one["metadata"]["name"] for one in web.cluster.get("sessions.telepresence.io", "-A")["items"]}

    for _ in range(3):
        with web.intercept("web", "--port", "8080:http"):
            pass
    wait_for("idle", lambda: all(len(agent.sockets()) == 1 for agent in agents_of(web)))
    before, before_sessions, before_laptop = state(), sessions(), web.laptop.snapshot()
    holdings = Holdings(manager=web.cluster.manager_pid(), **web.laptop.daemons())
    resident = [agent.resident_kb() for agent in agents_of(web)]
    containers = containers_of(web)
    for _ in range(ROUNDS):
        with web.intercept("web", "--port", "8080:http"):
            pass
    wait_for("as before", lambda: state() == before)
    holdings.check()
    assert containers_of(web) == containers
    assert web.objects() == []
    assert web.laptop.snapshot() == before_laptop
    # Those of daemons that other tests have killed end in time.
    assert sessions() <= before_sessions
    for agent, kb in zip(agents_of(web), resident, strict=True):
        wait_for("no growth", lambda agent=agent, kb=kb: agent.resident_kb() <= max(kb + 512, 6 * 1024))


def test_an_agent_that_is_not_needed_ends_and_a_later_intercept_brings_a_fresh_one(joined):
    with joined.local(9000):
        with setting(joined.cluster, "AGENT_IDLE", 1):
            with joined.intercept("db", "--port", "9000"):
                joined.all_pods_say("laptop", "db")
                assert len(agents_of(joined, "db")) == 1
            wait_for("no agent", lambda: not agents_of(joined, "db"))
            (pod,) = joined.pods("db")
            last = containers_of(joined, "db")[pod["metadata"]["name"]][-1]
            wait_for("its end", lambda: "terminated" in statuses_of(joined.pods("db")[0])[last])
            assert statuses_of(joined.pods("db")[0])[last]["terminated"]["exitCode"] == 0
        with joined.intercept("db", "--port", "9000"):
            joined.all_pods_say("laptop", "db")
            assert containers_of(joined, "db")[pod["metadata"]["name"]][-1] != last
