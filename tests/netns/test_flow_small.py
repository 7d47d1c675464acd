# SPDX-License-Identifier: Apache-2.0
"""What is small crosses the flow engine at once."""
import socket
import time

from conftest import rig_of
from flowrig import FlowRig
from timing import best_of

# An application's kernel delays the ACK of what it has nothing to say to by at least this long.
DELAYED_ACK_S = 0.04

rig = rig_of(FlowRig)


def test_second_answer_waits_for_no_ack(rig):
    client, server = rig.pair()
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def second_answer():
        client.sendall(b"?")
        assert server.recv(1) == b"?"
        server.sendall(b"a")
        assert client.recv(1) == b"a"
        start = time.monotonic()
        server.sendall(b"b")
        assert client.recv(1) == b"b"
        return time.monotonic() - start

    # A connection's first ACKs are not delayed.
    for _ in range(30):
        second_answer()
    best_of(second_answer, DELAYED_ACK_S / 2)
