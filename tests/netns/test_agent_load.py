# SPDX-License-Identifier: Apache-2.0
"""Much through the agent's engine: bytes, stalled peers, and many connections that say nothing."""
import hashlib
import socket
import threading

import pytest

from conftest import DEADLINE_S, rig_of
from agentrig import AgentRig, POD, raise_file_limit, wait_for

MIB = 1024 * 1024
IDLE = 10000
# The product's own allowance is 64 MiB; the driver is the manager's end of each stream, too.
IDLE_MIB = 64

rig = rig_of(AgentRig)


def listen(rig, answer):
    """A listening socket in the place of the laptop or of the app, with port 9090 intercepted."""
    listener = rig.socket(rig.pod)
    listener.bind((("127.0.0.1", 0) if answer == "dial" else (POD[4], 9090)))
    listener.listen()
    rig.command("link up")
    rig.command(f"answer {answer} {listener.getsockname()[1]}")
    rig.config("9090/tcp/none/one/app")
    return listener


def pair(rig, listener):
    client = rig.connect(port=9090)
    server = listener.accept()[0]
    server.settimeout(DEADLINE_S)
    rig.closing.append(server)
    return client, server


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def pour(sock, count):
    """Sends count pieces and then no more; what was sent as a digest."""
    digest = hashlib.sha256()
    for i in range(count):
        piece = bytes([i % 251]) * (MIB - i)
        digest.update(piece)
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def drain(sock):
    digest = hashlib.sha256()
    while data := sock.recv(MIB):
        digest.update(data)
    return digest.hexdigest()


@pytest.mark.parametrize("answer", ["dial", "refused"])
def test_both_ways_at_once(rig, answer):
    ends = pair(rig, listen(rig, answer))
    results = {}

    def run(name, function, *args):
        results[name] = function(*args)
    threads = [threading.Thread(target=run, args=args) for args in (
        ("to", pour, ends[0], 30), ("from", pour, ends[1], 20),
        ("there", drain, ends[1]), ("here", drain, ends[0]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results["to"] == results["there"] and results["from"] == results["here"]
    wait_for(lambda: rig.counts()["flows"] == 0, "the flow is over")
    rig.end()


@pytest.mark.parametrize("answer", ["dial", "refused"])
def test_stalled_peer(rig, answer):
    """Who does not read holds only his own connection, and little memory. To the app a reset still passes."""
    listener = listen(rig, answer)
    client, server = pair(rig, listener)
    before = rig.rss_kib()
    client.setblocking(False)

    def is_full():
        try:
            while client.send(MIB * b"x"):
                pass
        except BlockingIOError:
            return True
        return False
    # Full for good: nothing moves it for a while.
    for _ in range(3):
        wait_for(is_full, "the sender has to wait")
        rig.counts()
    assert rig.rss_kib() - before < 24 * 1024
    other = pair(rig, listener)
    other[0].sendall(b"x")
    assert other[1].recv(10) == b"x"
    if answer == "refused":
        reset(client)
        wait_for(lambda: rig.counts()["flows"] == 1, "the stalled connection is over")
    rig.end()


@pytest.mark.parametrize("answer", ["open", "refused"])
def test_idle_connections(rig, answer):
    """Of the app fewer: its own end of each is in this process, with a thread."""
    limit = raise_file_limit()
    count = IDLE if answer == "open" else IDLE // 5
    assert limit > count + 1000, "this machine allows too few files"
    rig.intercept(answer=answer)
    rig.command("counts one")
    before = rig.rss_kib()
    socks = []
    while len(socks) < count:
        socks += rig.connect_many(100)
        wait_for(lambda: rig.counts()["flows"] >= len(socks), f"{len(socks)} flows")
    counts = rig.counts()
    assert counts["connections"] == counts["flows"] == count
    grown = (rig.rss_kib() - before) / 1024
    assert grown <= IDLE_MIB, f"{grown} MiB for {count} idle connections"
    if answer == "refused":
        sample = socks[::500]
        for sock in sample:
            sock.sendall(b"x")
            assert sock.recv(100) == b"app:x"
    for sock in socks:
        reset(sock)
    wait_for(lambda: rig.counts()["flows"] == 0, "all flows are over")
    rig.end()
