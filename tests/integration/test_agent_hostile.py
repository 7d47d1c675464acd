# SPDX-License-Identifier: Apache-2.0
"""A hostile pod: whatever it says to the manager and to agents, it gets no byte of a tunnel and breaks nothing."""

import base64
import concurrent.futures
import contextlib
import ctypes
import json
import os
import re
import selectors
import socket
import ssl
import struct
import time

import pytest

from agents import agents_of, specs_of
from conftest import wait_for
from nets import CLONE_NEWNET, LIBC, Net, family_of

AGENT_PORT = 8082
TUNNEL_PORT = 8081
JOIN, WELCOME = 10, 11
SETTLE = 2

# The first flight of a TLS client, cut off, and things that are none.
OPENINGS = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    b"\x16\x03\x01\xff\xff" + b"A" * 4096,
    b"\x17\x03\x03\x00\x10" + b"B" * 16,
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"TPT/1\r\n",
    b"\x0a\x00\x00\x20" + b"\0" * 32,
    bytes(range(256)) * 64,
)


@pytest.fixture(scope="module")
def web(joined):
    """Intercepted; the same manager and the same agents afterwards."""
    with joined.local(), joined.intercept("web", "--port", "8080:http"):
        joined.all_pods_say("laptop")
        before = joined.cluster.manager_pid(), sorted(agent.pid for agent in agents_of(joined))
        yield joined
        assert (joined.cluster.manager_pid(), sorted(agent.pid for agent in agents_of(joined))) == before
        joined.all_pods_say("laptop")


@pytest.fixture
def stranger(web):
    """The namespace of a pod that has no agent."""
    return web.client


@pytest.fixture
def neighbour(web):
    """The namespace of an intercepted pod: what runs beside the agent has its address."""
    pod = web.pods()[0]
    return pod, web.net(pod)


def manager_ip(web):
    return web.cluster.manager_pod()["status"]["podIP"]


def scan(address, first, last):
    """Ports of first..last that accept a connection."""
    found = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for port in range(first, last + 1):
            one = stack.enter_context(socket.socket(family_of(address)))
            one.setblocking(False)
            one.connect_ex((address, port))
            selector.register(one, selectors.EVENT_WRITE, port)
        deadline = time.monotonic() + 10
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found.append(key.data)
                selector.unregister(key.fileobj)
        assert not selector.get_map(), "ports that swallow a SYN"
    return sorted(found)


def open_ports(net, address):
    """Those that accept a connection, of all; one thread goes to the namespace for it."""

    def work():
        fd = os.open(net.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if LIBC.setns(fd, CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), f"setns {net.path}")
        finally:
            os.close(fd)
        return [port for first in range(1, 65536, 512) for port in scan(address, first, min(first + 511, 65535))]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def told(connection, seconds=SETTLE):
    """What comes until the other end closes, or for so long."""
    parts = b""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError, TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            part = connection.recv(65536)
            if not part:
                break
            parts += part
    return parts


def knock(net, address, port, opening):
    with net.connect(address, port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(opening)
        return told(connection)


def refusals(web):
    """Lines about refused agents, by source."""
    text = web.cluster.kubectl("-n", "ambassador", "logs", "deployment/traffic-manager")
    found = {}
    for line in text.splitlines():
        entry = json.loads(line)
        if entry["msg"] == "agent refused":
            source = re.search(r"source=(\S+)", entry["fields"])[1]
            found.setdefault(source, []).append(entry["time"])
    return found


def test_the_manager_has_two_ports_and_says_nothing_on_the_agents(web, stranger):
    address = manager_ip(web)
    assert open_ports(stranger, address) == [TUNNEL_PORT, AGENT_PORT]
    for opening in OPENINGS:
        assert knock(stranger, address, AGENT_PORT, opening) == b"", opening
        # HTTP's own errors are what a reverse proxy needs; a tunnel is another matter.
        answer = knock(stranger, address, TUNNEL_PORT, opening)
        assert b"101 Switching" not in answer and len(answer) < 1600, opening


def test_a_pod_has_no_port_more_than_before(web, stranger):
    """The agent's listeners are not to be reached from outside, and those of the app are the app's."""
    pod = web.pods()[0]
    for address in web.addresses(pod):
        ports = open_ports(stranger, address)
        assert 8080 in ports and set(ports) <= {8080, 8082, 9090}, address
    for agent in agents_of(web):
        for row in agent.listeners():
            port = int(row["local"].rpartition(":")[2], 16)
            with pytest.raises(OSError):
                stranger.connect(agent.pod["status"]["podIP"], port, timeout=2)


def test_from_inside_the_pod_a_listener_says_nothing(web):
    for agent in agents_of(web):
        net = Net(f"/proc/{agent.pid}/ns/net")
        for row in agent.listeners():
            loopback = "127.0.0.1" if row["table"] == "tcp" else "::1"
            port = int(row["local"].rpartition(":")[2], 16)
            for opening in OPENINGS[4:7]:
                try:
                    assert knock(net, loopback, port, opening) == b""
                except ConnectionError:
                    pass  # reset before the first byte


def tls(connection):
    """A client that asks for nobody's name: TLS 1.3 with the manager."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context.wrap_socket(connection)


# A P-256 key of nobody, as SubjectPublicKeyInfo (the curve's base point).
SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def join(pod_uid, token, kind=1):
    payload = bytes([kind, 0, len(pod_uid)]) + pod_uid.encode()
    if kind == 1:
        payload += token + struct.pack("!H", len(SPKI)) + SPKI
    return struct.pack("!I", JOIN << 24 | len(payload)) + payload


def spent_token(pod):
    """Of the pod's newest agent: everybody who may read pods can read it, too late."""
    args = specs_of(pod)[-1]["args"]
    return base64.b64decode(next(arg for arg in args if arg.startswith("--token="))[len("--token=") :])


def say(net, address, record):
    """What the manager answers to this record within TLS: b"" when it ends the connection."""
    with tls(net.connect(address, AGENT_PORT)) as connection:
        connection.sendall(record)
        return told(connection)


def test_a_token_is_good_once(web, neighbour):
    pod, net = neighbour
    uid, token = pod["metadata"]["uid"], spent_token(pod)
    address = manager_ip(web)
    assert say(net, address, join(uid, token)) == b""
    # Of another pod, of none, and a certificate that was never given.
    other = web.pods()[1]
    assert say(net, address, join(other["metadata"]["uid"], spent_token(other))) == b""
    assert say(net, address, join(uid, bytes(32))) == b""
    assert say(net, address, join("no-such-pod", token)) == b""
    assert say(net, address, join(uid, b"", kind=2)) == b""


def test_garbage_within_tls_is_no_join(web, neighbour):
    _, net = neighbour
    address = manager_ip(web)
    for record in (
        b"\0" * 64,
        b"\xff" * 4096,
        struct.pack("!I", JOIN << 24 | 0xFFFFFF) + b"x" * 1000,
        struct.pack("!I", JOIN << 24),
        struct.pack("!I", WELCOME << 24 | 4) + b"abcd",
        struct.pack("!I", JOIN << 24 | 3) + bytes([1, 0, 255]),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        assert say(net, address, record) == b"", record[:16]


def test_a_stranger_with_a_token_is_not_heard(web, stranger):
    """The source comes first: not even TLS's first answer."""
    with stranger.connect(manager_ip(web), AGENT_PORT) as connection:
        with pytest.raises((ssl.SSLError, OSError)):
            tls(connection)


def test_many_connections_do_not_keep_an_agent_out(web, stranger, neighbour):
    """Handshakes that are never finished, from a stranger and from beside an agent; agents come back all the same."""
    _, net = neighbour
    address = manager_ip(web)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(stranger.connect(address, AGENT_PORT))
            stack.enter_context(net.connect(address, AGENT_PORT)).sendall(OPENINGS[1][:20])
        web.all_pods_say("laptop")


def test_each_source_is_logged_once_a_minute(web, stranger):
    """Whatever the tests above did, and a hundred more."""
    address = manager_ip(web)
    for _ in range(100):
        stranger.connect(address, AGENT_PORT).close()
    source = wait_for("a line", lambda: refusals(web))
    own = web.pods("client")[0]["status"]["podIP"]
    assert own in source, source
    for times in source.values():
        seconds = sorted(time.mktime(time.strptime(one[:19], "%Y-%m-%dT%H:%M:%S")) for one in times)
        assert all(later - earlier >= 59 for earlier, later in zip(seconds, seconds[1:], strict=False)), times
