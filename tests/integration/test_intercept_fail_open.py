# SPDX-License-Identifier: Apache-2.0
"""What the laptop does not take goes to the app, the same connection with every byte; probes never leave the pod."""

import contextlib
import hashlib
import os
import signal
import socket
import time

import pytest

from conftest import wait_for
from nets import answer, read_all, serve
from timing import best_of, comes, took

MIB = 1 << 20
# The agent gives the laptop 800 ms (docs/agent.md); the rest is for a machine that is busy with the test itself.
PATIENCE = 1.5


@pytest.fixture(scope="module")
def web(joined):
    before, restarts = joined.rulesets(), joined.restarts()
    with joined.intercept("web", "--port", "8080:http", "--port", "7000:raw"):
        yield joined
    assert joined.rulesets() == before
    assert joined.restarts() == restarts


@pytest.fixture
def intercepted(web):
    """The intercept works before and after the test."""
    with web.local():
        web.all_pods_say("laptop")
    yield web
    with web.local():
        web.all_pods_say("laptop")


def fallbacks(web):
    found = next(one for one in web.intercepts() if one["name"] == "web")
    return found["fallbacks"]


def test_refused_by_the_laptop_the_app_answers_and_status_counts_it(intercepted):
    web = intercepted
    before = fallbacks(web).get("refused", 0)
    address = web.cluster.cluster_ip("stage", "web")
    assert all(web.client.ask(address, 80).startswith("pod web-") for _ in range(6))
    wait_for("the count", lambda: fallbacks(web).get("refused", 0) >= before + 6)
    text = web.telepresence("status").stdout
    assert "connections went to the app (" in text and "refused" in text


def test_no_byte_is_lost_on_the_way_to_the_app(intercepted):
    """The client writes before anybody has answered; the laptop refuses, so the app gets all of it."""
    web = intercepted
    data = os.urandom(4 * MIB)

    def sum_up(connection):
        connection.sendall(hashlib.sha256(read_all(connection)).digest())

    for pod in web.pods():
        with serve(web.net(pod), "0.0.0.0", 7000, sum_up), web.client.connect(pod["status"]["podIP"], 7000) as one:
            one.sendall(data)
            one.shutdown(1)
            assert read_all(one) == hashlib.sha256(data).digest()


def answered_in(stage, address, by):
    """How long it takes until one of these answers."""
    seconds, said = took(stage.client.ask, address, 8080)
    assert said.startswith(by), said
    return seconds


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_sleeping_laptop_costs_one_wait_and_then_none(intercepted):
    web = intercepted
    address = web.pods()[0]["status"]["podIP"]

    def attempt():
        with web.local():
            web.all_pods_say("laptop")
            with stopped(web.laptop.daemons()["userd"]):
                first = answered_in(web, address, "pod web-")
                # The manager knows by now.
                best_of(lambda: answered_in(web, address, "pod web-"), 0.5)
        return first

    best_of(attempt, PATIENCE)


def test_an_address_that_does_not_answer_falls_back_in_time(joined):
    """--address is a black hole: the laptop cannot say no, and the app answers nevertheless."""
    address = joined.pods("db")[0]["status"]["podIP"]
    with joined.intercept("db", "--port", "9000", "--address", "192.0.2.1"):
        best_of(lambda: answered_in(joined, address, "pod db-0"), PATIENCE)


def test_on_refuse_close_resets_what_the_laptop_refuses(joined):
    address = joined.pods("db")[0]["status"]["podIP"]
    with joined.intercept("db", "--port", "9000", "--on-refuse", "close"):
        comes("ConnectionResetError", lambda: joined.client.ask(address, 8080))
        with joined.local(9000):
            comes("laptop", lambda: joined.client.ask(address, 8080))


def test_a_tcp_probe_is_answered_by_the_app_and_the_node_is_served(joined):
    """`db` has a tcpSocket probe: on an intercepted port it must not come to the laptop, other connections do."""
    pod, silent = joined.pods("db")[0], []

    def handle(connection):
        """A tcpSocket probe says nothing."""
        if connection.recv(1, socket.MSG_PEEK):
            answer("laptop")(connection)
        else:
            silent.append(connection)

    with serve(joined.laptop_net, "127.0.0.1", 9000, handle), joined.intercept("db", "--port", "9000"):
        joined.all_pods_say("laptop", "db")
        ready_since = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["lastTransitionTime"]
        # Its period is one second: within these answers the kubelet has probed.
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            comes("laptop", lambda: joined.client.ask(pod["status"]["podIP"], 8080))
        assert silent == []
        again = next(c for c in joined.pods("db")[0]["status"]["conditions"] if c["type"] == "Ready")
        assert (again["status"], again["lastTransitionTime"]) == ("True", ready_since)


def test_a_killed_manager_leaves_the_app_answering_and_comes_back(intercepted):
    web = intercepted
    addresses = [pod["status"]["podIP"] for pod in web.pods()]
    with web.local():
        os.kill(web.cluster.manager_pid(), signal.SIGKILL)
        for _ in range(5):
            for address in addresses:
                best_of(lambda address=address: answered_in(web, address, ("pod web-", "laptop")), PATIENCE)
        web.all_pods_say("laptop")


def test_without_a_manager_everything_is_the_apps(intercepted):
    web = intercepted
    web.cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=0")
    try:
        wait_for("no manager", lambda: web.cluster.manager_pod() is None)
        with web.local():
            web.all_pods_say("pod web-")
    finally:
        web.cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=1")
        web.cluster.kubectl("-n", "ambassador", "rollout", "status", "deployment/traffic-manager", "--timeout=60s")
    with web.local():
        web.all_pods_say("laptop")


def test_a_killed_user_daemon_leaves_the_app_answering(joined):
    """Last in this file: the connection is made anew."""
    address = joined.pods("db")[0]["status"]["podIP"]
    with joined.local(9000), joined.intercept("db", "--port", "9000"):
        joined.all_pods_say("laptop", "db")
        os.kill(joined.laptop.daemons()["userd"], signal.SIGKILL)
        best_of(lambda: answered_in(joined, address, "pod db-0"), PATIENCE)
        wait_for("root daemon gone", lambda: not joined.laptop.daemons())
        # What the dead daemon held goes with its Session, after the time-out; here at once.
        joined.cluster.kubectl("delete", "intercepts.telepresence.io", "-n", "stage", "--all")
        joined.laptop.connect("--namespace", "stage")
