# SPDX-License-Identifier: Apache-2.0
"""What happens to an intercept when its agents die, or its laptop vanishes without a word."""

import contextlib
import time

import pytest

from conftest import wait_for
from kills import kill
from load import Load, lateness
from localcluster import laptop as machine, plan
from managers import roll_out, setting
from nets import Net, serve
from shop import PORT, laptop_net, shop as open_shop
from timing import best_of

SOON = 1.0
KNOWN = 0.3
# Until the laptop has new connections again, without a command.
ROLLED_OUT = 2
# A carrier that nothing is heard of does not count any more after 5 s, and the TTL begins; it is ended after a minute.
TTL = 2
GONE = 5 + TTL + 15


@pytest.fixture(scope="module")
def shop(cluster):
    with open_shop(cluster, "faults") as made:
        yield made


@pytest.fixture
def loads(connected, shop):
    """The shop's and its control, while the laptop serves and intercepts."""
    load, control = shop.loads()
    with shop.laptop_serves(), load, control:
        connected.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        yield load, control
        connected.telepresence("leave", "shop", check=False)


@contextlib.contextmanager
def cut(cluster):
    """The laptop's cable is a black hole; yields when that was."""
    cable = machine.Laptop(plan.get(cluster.name))
    cable.cut()
    try:
        yield time.monotonic()
    finally:
        cable.no_wan()


def ended(loads):
    """All requests of both loads; they end here."""
    for one in loads:
        one.stop()
    return loads[0].requests, loads[1].requests


def late(requests, control, allowed):
    """Those that took longer than allowed, and than the machine itself was late."""
    return [
        one
        for one in requests
        if one.failed or (one.took > allowed and one.took > allowed + lateness(control, one.begun, one.ended))
    ]


def test_killed_agents_the_app_serves_at_once(shop, loads):
    load, control = loads

    def attempt():
        dead = [kill("agent", pid).dead for pid in shop.agents()]
        app = load.wait_answered_by("app")
        wait_for("the control's answers", lambda: control.read() and control.requests[-1].begun > app)
        load.wait_answered_by("laptop")
        return max(0, app - max(dead) - lateness(control.requests, max(dead), app))

    best_of(attempt, SOON, tries=3)


def test_vanished_laptop_the_app_answers_within_a_second(cluster, loads):
    load, control = loads

    def worst(begun, ended):
        """The longest that one of these requests took, less what the machine itself was late."""
        requests = [one for one in load.requests if begun < one.begun < ended]
        assert requests and not any(one.failed for one in requests), [one for one in requests if one.failed]
        return max(one.took - lateness(control.requests, one.begun, one.ended) for one in requests)

    def attempt():
        with cut(cluster) as begun:
            app = load.wait_answered_by("app")
            wait_for("two seconds more", lambda: load.read()[-1].begun > app + 2)
        back = load.wait_answered_by("laptop")
        wait_for("the control's answers", lambda: control.read()[-1].begun > back)
        # The manager knows after a second: nobody waits for the laptop again.
        return max(0, worst(begun, back), SOON + worst(app + 1, app + 2) - KNOWN)

    best_of(attempt, SOON, tries=3)


def intercepts(cluster):
    return cluster.get("intercepts.telepresence.io", "-A")["items"]


def answer_or_pour(connection):
    """The laptop's program: who asks is answered, everybody else gets bytes without an end."""
    if connection.recv(64).startswith(b"ask"):
        connection.sendall(b"laptop\n")
        return
    block = bytes(1 << 16)
    while True:
        connection.sendall(block)


def drink(connection, seconds):
    """Reads until the connection ends, or for so long; how much came, and how it ended if it did."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = connection.recv(1 << 18)
        except OSError as error:
            return count, type(error).__name__
        if not part:
            return count, "EOF"
        count += len(part)
    return count, None


@contextlib.contextmanager
def transfer(shop):
    with Net(shop.client).connect(shop.address, 80) as connection:
        connection.sendall(b"pour\n")
        count, how = drink(connection, 0.5)
        assert count > 1 << 20 and how is None
        yield connection


def away(requests, control):
    """How long somebody else answered instead of the laptop, less what the machine itself was late."""
    others = [one for one in requests if one.answer != "laptop"]
    if not others:
        return 0
    begun, ended = others[0].begun, others[-1].ended
    return max(0, ended - begun - lateness(control, begun, ended))


def test_a_manager_that_is_rolled_out_cuts_a_transfer_and_nothing_else(connected, cluster, shop):
    """What is short is finished by the old one, new connections are the app's and soon the laptop's again. Nothing is
    resumed, but who reads is told so by a reset; the intercept comes back as it was (docs/agent.md 6)."""
    load = Load(shop.client, shop.address, 80, 50)
    control = Load(shop.client, shop.other, 80, 50)

    def attempt():
        with transfer(shop) as connection:
            begun = time.monotonic()
            roll_out(cluster)
            count, how = drink(connection, 10)
            assert how == "ConnectionResetError", (count, how)
        back = load.wait_answered_by("laptop")
        wait_for("the control's answers", lambda: control.read()[-1].begun > back)
        return away(load.since(begun), control.requests)

    with serve(Net(laptop_net(cluster)), "127.0.0.1", PORT, answer_or_pour), load, control:
        connected.telepresence("intercept", "shop", *shop.args)
        start = load.wait_answered_by("laptop")
        (before,) = intercepts(cluster)
        best_of(attempt, ROLLED_OUT, tries=3)
        with transfer(shop):
            pass
        (now,) = intercepts(cluster)
        assert now["metadata"]["uid"] == before["metadata"]["uid"]
        requests, others = ended((load, control))
        bad = late([one for one in requests if one.begun > start], others, SOON)
        assert not bad, bad[:10]
        connected.telepresence("leave", "shop")


def test_a_laptop_that_does_not_come_back_loses_its_intercept(laptop, cluster, shop):
    """The Session's TTL is the manager's to shorten."""
    load, control = shop.loads()
    laptop.connect()
    with setting(cluster, "SESSION_TTL", TTL), shop.laptop_serves(), load, control:
        laptop.stop()
        laptop.connect()
        laptop.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop")
        session = laptop.status()["user_daemon"]["session"]
        with cut(cluster) as begun:
            load.wait_answered_by("app")
            assert intercepts(cluster)
            wait_for("the end of the intercept", lambda: not intercepts(cluster), GONE)
            left = cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]
            assert session not in [one["metadata"]["name"] for one in left]
            # Not one rule is left in the way.
            wait_for("no agent's rule", lambda: not any(shop.rulesets()))
        load.wait_answered_by("app")
        requests, others = ended((load, control))
        after = [one for one in requests if one.begun > begun]
        # That it is one second is said above, where there is more than one try.
        assert not late(after, others, 3 * SOON), late(after, others, 3 * SOON)[:10]
        wait_for("a session again", lambda: laptop.status()["user_daemon"].get("session", session) != session)
