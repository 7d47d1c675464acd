# SPDX-License-Identifier: Apache-2.0
"""Intercepted datagrams: the laptop's, the app's, and the way back."""
import socket

import pytest

from conftest import rig_of
from agentrig import AgentRig, PEER, POD, PORT, UDP, wait_for
from timing import best_of, took

BOTH = pytest.mark.parametrize("family", [4, 6])

rig = rig_of(AgentRig)


@BOTH
def test_laptop_takes(rig, family):
    rig.intercept()
    # A connected socket takes an answer only from the address and port that it asked.
    sock = rig.connect(family=family, kind=UDP)
    for data in (b"one", b"", b"x" * 1400, b"y" * 60000):
        sock.send(data)
        assert sock.recv(65536) == b"laptop:" + data
    asked = rig.event("ask")
    assert asked["path"].replace("%3A", ":") == f"/.well-known/masque/udp/{POD[family]}/{PORT}/"
    name = sock.getsockname()
    text = f"[{name[0]}]" if family == 6 else name[0]
    assert asked["source"] == f"{text}:{name[1]}" and asked["intercept"] == "one"
    assert not rig.app_udp.connections
    counts = rig.counts()
    assert counts["connections"] == 1 and counts["flows"] == 1
    other = rig.connect(family=family, kind=UDP)
    other.send(b"two")
    assert other.recv(100) == b"laptop:two"
    assert rig.counts()["connections"] == 2
    rig.end()


@BOTH
@pytest.mark.parametrize("answer,link,within_s", [
    ("refused", True, 0.7), ("no-client", True, 0.7), ("ignore", True, 3), ("dial", False, 0.7)])
def test_app_gets_the_rest(rig, family, answer, link, within_s):
    rig.intercept(answer=answer, link=link)

    def five(sock):
        for i in range(5):
            sock.send(b"%d" % i)
        return [sock.recv(100) for _ in range(5)]

    def attempt():
        sock = rig.connect(family=family, kind=UDP)
        seconds, said = took(five, sock)
        assert said == [b"app:%d" % i for i in range(5)]
        sock.send(b"z" * 60000)
        assert sock.recv(65536) == b"app:" + b"z" * 60000
        return seconds
    asked = best_of(attempt, within_s)
    counts = rig.counts()
    reason = {"ignore": "timed-out", "dial": "no-client"}.get(answer, answer)
    assert counts["connections"] == counts[reason] == asked
    rig.end()


@BOTH
def test_app_gets_what_nobody_listens_for(rig, family):
    """The laptop takes the flow, and then an ICMP error tells that its program is not there."""
    where = f"127.0.0.1:{rig.laptop.port} "

    def end(service):
        service.close()
        wait_for(lambda: where not in rig.pod.run("ss", "-Hunl").stdout, "nobody listens")

    end(rig.laptop_udp)
    rig.intercept()
    for size in (10, 60000):
        sock = rig.connect(family=family, kind=UDP)
        for i in range(5):
            sock.send(b"%d" % i * size)
        said = {sock.recv(65536) for _ in range(5 if size == 10 else 1)}
        assert said <= {b"app:" + b"%d" % i * size for i in range(5)} and (size > 10 or len(said) == 5)
        sock.send(b"more")
        assert wait_for(lambda: sock.recv(65536) == b"app:more", "the flow goes on")
    assert rig.counts()["refused"] == 2
    # One that was served, and whose program has ended.
    back = rig.service("127.0.0.1", rig.laptop.port, "laptop", UDP)
    sock = rig.connect(family=family, kind=UDP)
    sock.send(b"a")
    assert sock.recv(100) == b"laptop:a"
    end(back)
    sock.send(b"b")
    assert sock.recv(100) == b"app:b"
    rig.end()


def test_few_wait(rig):
    rig.intercept(answer="ignore")
    sock = rig.connect(kind=UDP)
    for i in range(30):
        sock.send(b"%d" % i)
    assert [sock.recv(100) for _ in range(16)] == [b"app:%d" % i for i in range(16)]
    sock.send(b"end")
    assert sock.recv(100) == b"app:end"
    rig.end()


@BOTH
def test_same_pod(rig, family):
    rig.intercept()
    assert rig.ask(rig.pod, family=family, kind=UDP) == b"laptop:hello"
    localhost = "127.0.0.1" if family == 4 else "::1"
    assert rig.ask(rig.pod, family=family, kind=UDP, address=localhost) == b"app:hello"
    rig.answer("refused")
    assert rig.ask(rig.pod, family=family, kind=UDP) == b"app:hello"
    assert rig.counts()["connections"] == 2
    rig.end()


def test_app_that_is_not_there(make_netns):
    """The app's port unreachable is silence, and the flow goes on."""
    rig = AgentRig(make_netns, app=False)
    rig.intercept(answer="refused")
    sock = rig.connect(kind=UDP)
    sock.send(b"lost")
    wait_for(lambda: rig.counts()["refused"] == 1, "fallback")
    rig.service("::", PORT, "app", UDP)
    sock.settimeout(0.2)

    def answered():
        sock.send(b"again")
        try:
            return sock.recv(100)
        except socket.timeout:
            return None
    assert wait_for(answered, "the app came") == b"app:again"
    rig.end()
    rig.close()


def test_refused_may_close(rig):
    rig.intercept(f"{PORT}/udp/none/one/close", answer="refused")
    sock = rig.connect(kind=UDP)
    sock.send(b"x")
    wait_for(lambda: rig.counts()["refused"] == 1, "refused")
    assert rig.counts()["flows"] == 0 and not rig.app_udp.connections
    rig.end()


def test_lost_link(rig):
    rig.intercept()
    sock = rig.connect(kind=UDP)
    sock.send(b"a")
    assert sock.recv(100) == b"laptop:a"
    rig.command("link down")
    wait_for(lambda: rig.counts()["flows"] == 0, "the flow is over")
    sock.send(b"b")
    assert sock.recv(100) == b"app:b"
    rig.end()


def test_port_comes_and_goes(rig):
    rig.intercept(f"{PORT}/udp/none/one/app", "9090/udp/none/two/app")
    sock = rig.connect(kind=UDP)
    sock.send(b"a")
    assert sock.recv(100) == b"laptop:a"
    assert rig.ask(kind=UDP, port=9090) == b"laptop:hello"
    rig.config("9090/udp/none/two/app")
    sock.send(b"b")
    assert sock.recv(100) == b"app:b"
    assert rig.ask(kind=UDP, port=9090) == b"laptop:hello"
    rig.config()
    assert rig.ruleset() == "" and rig.sockets() == []
    rig.end()


def test_probe_of_the_path(rig):
    rig.intercept()
    probe = rig.socket(kind=UDP, source=PEER[4], source_port=40124)
    rig.command(f"expect 9 {PEER[4]} 40124 {PORT} udp")
    probe.sendto(b"probe", (POD[4], PORT))
    assert rig.event("captured")["id"] == 9
    assert rig.counts()["connections"] == 0 and not rig.app_udp.connections
    rig.end()


def test_datagram_to_the_agents_socket(rig):
    rig.intercept()
    before = rig.counts()
    for kind, address in rig.sockets():
        if kind == "udp" and address.startswith("127"):
            port = int(address.rsplit(":", 1)[1])
            sock = rig.connect(rig.pod, kind=UDP, address="127.0.0.1", port=port)
            sock.send(b"direct")
    assert rig.ask(kind=UDP) == b"laptop:hello"
    assert rig.counts()["connections"] == before["connections"] + 1
    rig.end()
