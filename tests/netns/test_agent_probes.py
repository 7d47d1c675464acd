# SPDX-License-Identifier: Apache-2.0
"""The kubelet's probes reach the app, whatever the laptop does (docs/agent.md, section 5)."""
import socket

import pytest

from conftest import rig_of
from agentrig import AgentRig, POD, PORT
from timing import best_of, took

PROBE = b"GET /healthz HTTP/1.1\r\nHost: pod\r\nUser-Agent: kube-probe/1.32\r\n\r\n"
# All that grpc-go says before the server has: the preface and SETTINGS (RFC 9113 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
OTHER = b"GET /healthz HTTP/1.1\r\nHost: pod\r\nUser-Agent: curl/8\r\n\r\n"
AT_ONCE = 0.5

rig = rig_of(AgentRig)


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_socket(rig, family):
    rig.intercept(f"{PORT}/tcp/tcp/one/app", nodes=True)
    assert rig.ask(family=family, source="node") == b"app:hello"
    assert rig.ask(family=family, source=None if family == 4 else "fd09::1") == b"laptop:hello"
    assert rig.counts()["connections"] == 1
    # What a router has forwarded was not sent by the kubelet of this node.
    sock = rig.socket(family=family, source="node")
    if family == 4:
        sock.setsockopt(0, 2, 63)  # IP_TTL
    else:
        sock.setsockopt(41, 16, 63)  # IPV6_UNICAST_HOPS
    sock.connect((POD[family], PORT))
    sock.sendall(b"x")
    assert sock.recv(100) == b"laptop:x"
    # A port that is not probed so is not excepted.
    rig.config(f"{PORT}/tcp/none/one/app", nodes=True)
    assert rig.ask(family=family, source="node") == b"laptop:hello"
    rig.end()


@pytest.mark.parametrize("family", [4, 6])
def test_http(rig, family):
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True)
    assert rig.ask(family=family, source="node", data=PROBE) == b"app:" + PROBE
    assert rig.ask(family=family, source="node", data=OTHER) == b"laptop:" + OTHER
    outside = None if family == 4 else "fd09::1"
    assert rig.ask(family=family, source=outside, data=PROBE) == b"laptop:" + PROBE
    assert rig.counts()["connections"] == 2
    rig.end()


def test_laptop_hangs(rig):
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True, answer="ignore")

    def attempt():
        seconds, said = took(rig.ask, source="node", data=PROBE)
        assert said == b"app:" + PROBE
        return seconds
    best_of(attempt, AT_ONCE)
    assert rig.counts()["connections"] == 0
    rig.end()


def test_head_in_pieces(rig):
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True)
    for data, name in ((PROBE, b"app:"), (OTHER, b"laptop:")):
        sock = rig.connect(source="node")
        sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        for i in range(0, len(data), 7):
            sock.sendall(data[i:i + 7])
        answer = b""
        while len(answer) < len(name) + len(data):
            answer += sock.recv(65536)
        assert answer.startswith(name) and answer.replace(name, b"") == data
    rig.end()


def test_silence_is_asked_about(rig):
    """A node's peer that waits for the server to speak is no probe."""
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True, answer="ignore")

    def wait(sock):
        sock.connect((POD[4], PORT))
        rig.event("ask")

    def attempt():
        sock = rig.socket(source="node")
        seconds, _ = took(wait, sock)
        sock.sendall(b"late")
        assert sock.recv(100) == b"app:late"
        return seconds
    best_of(attempt, 3, at_least_s=0.9)
    rig.end()


def test_endless_head(rig):
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True)
    sock = rig.connect(source="node")
    data = b"GET / HTTP/1.1\r\nX: " + 20000 * b"x"
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        got += sock.recv(65536)
    assert got.startswith(b"laptop:GET")
    assert rig.counts()["connections"] == 1
    rig.end()


def test_probe_that_only_connects(rig):
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True)
    rig.connect(source="node").close()
    assert rig.ask(source="node", data=PROBE) == b"app:" + PROBE
    assert rig.counts()["connections"] == 0
    rig.end()


@pytest.mark.parametrize("family", [4, 6])
def test_grpc(rig, family):
    """Its client names itself only after the server's first words, so the rules let it pass."""
    rig.intercept(f"{PORT}/tcp/grpc/one/app", nodes=True, answer="ignore")

    def attempt():
        seconds, said = took(rig.ask, family=family, source="node", data=PREFACE)
        assert said == b"app:" + PREFACE
        return seconds
    best_of(attempt, AT_ONCE)
    assert rig.counts()["connections"] == 0
    rig.answer("dial")
    outside = None if family == 4 else "fd09::1"
    assert rig.ask(family=family, source=outside, data=PREFACE) == b"laptop:" + PREFACE
    rig.end()


def test_silent_peer_behind_the_node(rig):
    """A masqueraded client of a server that speaks first is asked about at once."""
    rig.intercept(f"{PORT}/tcp/tcp/one/app", nodes=True)

    def silent():
        sock = rig.socket(source="node")
        sock.setsockopt(0, 2, 63)  # IP_TTL
        sock.connect((POD[4], PORT))
        rig.event("ask")
    best_of(lambda: took(silent)[0], AT_ONCE)
    rig.end()


def test_head_that_ends_early(rig):
    """Half a head and no more of it: asked about at once, with every byte."""
    rig.intercept(f"{PORT}/tcp/http/one/app", nodes=True)

    def half():
        sock = rig.connect(source="node")
        sock.sendall(b"GET / HT")
        sock.shutdown(socket.SHUT_WR)
        # The laptop's end may follow in the same segment.
        assert sock.recv(100).startswith(b"laptop:GET / HT")
    best_of(lambda: took(half)[0], AT_ONCE)
    rig.end()
