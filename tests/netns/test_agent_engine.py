# SPDX-License-Identifier: Apache-2.0
"""The agent's engine with real connections: who gets each one (docs/agent.md, sections 4 and 5)."""
import os
import signal
import socket
import threading

import pytest

from conftest import DEADLINE_S, rig_of
from agentrig import AgentRig, PEER, POD, PORT, wait_closed, wait_for
from timing import best_of, took

BOTH = pytest.mark.parametrize("family", [4, 6])

rig = rig_of(AgentRig)


def assert_reset(rig, *args, **kwargs):
    """A connection is reset without a byte, perhaps before connect(2) returns."""
    with pytest.raises(ConnectionResetError):
        rig.connect(*args, **kwargs).recv(1)


def test_idle_has_nothing(rig):
    assert rig.is_filtered()
    assert rig.ruleset() == ""
    assert rig.sockets() == []
    assert rig.ask() == b"app:hello"
    rig.intercept()
    assert "tproxy" in rig.ruleset() and len(rig.sockets()) == 4
    rig.config()
    assert rig.ruleset() == ""
    wait_for(lambda: rig.sockets() == [], "no socket without a port")
    rig.end()


@BOTH
def test_laptop_takes(rig, family):
    rig.intercept()
    sock = rig.connect(family=family)
    sock.sendall(b"one")
    assert sock.recv(100) == b"laptop:one"
    source = sock.getsockname()
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(100) == b"laptop:end" and sock.recv(100) == b""
    asked = rig.event("ask")
    text = f"[{POD[6]}]" if family == 6 else POD[4]
    peer = f"[{source[0]}]" if family == 6 else source[0]
    assert asked["authority"] == f"{text}:{PORT}" and asked["intercept"] == "one"
    assert asked["source"] == f"{peer}:{source[1]}"
    assert rig.app.connections == []
    counts = rig.counts()
    assert counts["connections"] == 1
    assert all(counts[reason] == 0 for reason in ("refused", "timed-out", "no-client"))
    wait_for(lambda: rig.counts()["flows"] == 0, "the flow is over")
    rig.end()


@BOTH
@pytest.mark.parametrize("answer,link,within_s", [
    ("refused", True, 0.7), ("no-client", True, 0.7), ("ignore", True, 3), ("dial", False, 0.7)])
def test_app_gets_the_rest(rig, family, answer, link, within_s):
    rig.intercept(answer=answer, link=link)

    def attempt():
        seconds, said = took(rig.ask, family=family)
        assert said == b"app:hello"
        return seconds
    asked = best_of(attempt, within_s)
    reason = {"ignore": "timed-out", "dial": "no-client"}.get(answer, answer)
    counts = rig.counts()
    # One connection each: the agent's own, to the app, was not captured again.
    assert counts["connections"] == counts[reason] == asked
    assert len(rig.app.connections) == asked
    rig.end()


def test_refused_may_close(rig):
    rig.intercept(f"{PORT}/tcp/none/one/close", answer="refused")
    assert_reset(rig)
    rig.answer("no-client")
    assert rig.ask() == b"app:hello"
    assert rig.counts()["refused"] == 1
    rig.end()


@BOTH
def test_same_pod(rig, family):
    rig.intercept()
    assert rig.ask(rig.pod, family=family) == b"laptop:hello"
    rig.answer("refused")
    assert rig.ask(rig.pod, family=family) == b"app:hello"
    before = rig.counts()["connections"]
    localhost = "127.0.0.1" if family == 4 else "::1"
    assert rig.ask(rig.pod, family=family, address=localhost) == b"app:hello"
    assert rig.counts()["connections"] == before
    rig.end()


def test_established_connections_stay(rig):
    old = rig.connect()
    old.sendall(b"a")
    assert old.recv(100) == b"app:a"
    rig.intercept()
    old.sendall(b"b")
    assert old.recv(100) == b"app:b"
    taken = rig.connect()
    taken.sendall(b"c")
    assert taken.recv(100) == b"laptop:c"
    rig.config(f"{PORT + 1}/tcp/none/two/app")
    assert rig.ask() == b"app:hello"
    rig.config()
    assert rig.ask() == b"app:hello"
    for sock, name in ((old, b"app"), (taken, b"laptop")):
        sock.sendall(b"d")
        assert sock.recv(100) == name + b":d"
    rig.intercept(link=False)
    assert rig.ask() == b"laptop:hello"
    rig.end()


def test_killed_agent_leaves_nothing(rig):
    rig.intercept()
    flow = rig.connect()
    flow.sendall(b"x")
    assert flow.recv(100) == b"laptop:x"
    os.kill(rig.process.pid, signal.SIGKILL)
    assert rig.process.wait(DEADLINE_S) == -signal.SIGKILL
    assert rig.ask() == b"app:hello"
    assert rig.ruleset() == ""
    assert wait_closed(flow) in (b"", ConnectionResetError)


def test_lost_link_resets_its_flows(rig):
    rig.intercept()
    flow = rig.connect()
    flow.sendall(b"x")
    assert flow.recv(100) == b"laptop:x"
    rig.answer("ignore")
    waiting = rig.connect()
    waiting.sendall(b"y")
    rig.event("ask"), rig.event("ask")
    rig.command("link down")
    assert wait_closed(flow) is ConnectionResetError
    assert waiting.recv(100) == b"app:y"
    assert rig.ask() == b"app:hello"
    rig.command("link up")
    rig.answer("dial")
    assert rig.ask() == b"laptop:hello"
    rig.end()


def test_listener_is_not_reachable(rig):
    rig.intercept()
    port = next(int(a.rsplit(":", 1)[1]) for kind, a in rig.sockets() if kind == "tcp")
    for family in (4, 6):
        with pytest.raises(ConnectionRefusedError):
            rig.connect(family=family, port=port)
    for family, localhost in ((4, "127.0.0.1"), (6, "::1")):
        assert_reset(rig, rig.pod, family=family, address=localhost, port=port)
    assert rig.counts()["connections"] == 0
    rig.end()


def test_app_that_refuses(make_netns):
    rig = AgentRig(make_netns, app=False)
    rig.intercept(answer="refused")
    assert_reset(rig)
    rig.end()
    rig.close()


@pytest.mark.parametrize("answer", ["dial", "refused"])
def test_half_close_and_reset(rig, answer):
    """To the laptop by a relay, to the app by a bypass: the same for both peers."""
    listener = rig.socket(rig.pod)
    listener.bind((("127.0.0.1", 0) if answer == "dial" else (POD[4], 9090)))
    listener.listen()
    target = listener.getsockname()[1]
    rig.command("link up")
    rig.command(f"answer {answer} {target}")
    rig.config("9090/tcp/none/one/app")

    def pair():
        client = rig.connect(port=9090)
        server = listener.accept()[0]
        server.settimeout(DEADLINE_S)
        rig.closing.append(server)
        return client, server
    client, server = pair()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b"question" and server.recv(100) == b""
    server.sendall(b"answer")
    server.close()
    assert client.recv(100) == b"answer" and client.recv(100) == b""
    client, server = pair()
    server.sendall(b"first")
    server.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b"first" and client.recv(100) == b""
    client.sendall(b"then")
    assert server.recv(100) == b"then"
    client.close()
    assert server.recv(100) == b""
    for first in (0, 1):
        ends = pair()
        ends[0].sendall(b"x")
        assert ends[1].recv(100) == b"x"
        ends[first].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        ends[first].close()
        assert wait_closed(ends[1 - first]) is ConnectionResetError
    wait_for(lambda: rig.counts()["flows"] == 0, "all flows are over")
    rig.end()


def test_probe_of_the_path(rig):
    rig.intercept()
    probe = rig.socket(source_port=40123)
    rig.command(f"expect 3 {PEER[4]} 40123 {PORT} tcp")
    with pytest.raises(ConnectionResetError):
        # The reset may come before connect(2) returns.
        probe.connect((POD[4], PORT))
        probe.recv(1)
    assert rig.event("captured")["id"] == 3
    assert rig.counts()["connections"] == 0 and not rig.app.connections
    # Announced once, good once.
    assert rig.ask() == b"laptop:hello"
    rig.end()


def test_no_connection_is_lost_by_a_change(rig):
    """Each connection gets an answer while ports come and go."""
    answers, errors, over = set(), [], threading.Event()

    def client():
        while not over.is_set():
            try:
                with rig.socket() as sock:
                    sock.connect((POD[4], PORT))
                    sock.sendall(b"x")
                    answers.add(sock.recv(100))
            except OSError as error:
                errors.append(error)
    rig.intercept()
    clients = [threading.Thread(target=client) for _ in range(6)]
    for one in clients:
        one.start()
    for _ in range(150):
        rig.config()
        rig.intercept(link=False)
    over.set()
    for one in clients:
        one.join(DEADLINE_S)
    assert errors == [] and answers == {b"app:x", b"laptop:x"}
    rig.end()
