# SPDX-License-Identifier: Apache-2.0
"""What a connection's two ends do to each other crosses the tunnel: half-close, reset, a reader that stands still, urgent data."""

import contextlib
import hashlib
import os
import socket
import threading

import pytest

from nets import read_all, read_exactly, reset

PORT = 7310
WAYS = pytest.mark.parametrize("way", ["up", "down"])
# More than all buffers on the way hold.
BULK = os.urandom(1 << 20) * 64


@pytest.fixture
def ends(online, cluster, pod_net, laptop_net, way):
    """A connection from the laptop to the pod: (who begins, the other one)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(pod_net.make_socket(socket.AF_INET))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", PORT))
        listener.listen()
        listener.settimeout(60)
        client = stack.enter_context(laptop_net.connect(cluster.pod_ip(), PORT, 60))
        server = stack.enter_context(listener.accept()[0])
        server.settimeout(60)
        yield (client, server) if way == "up" else (server, client)


@WAYS
def test_half_close(ends):
    """Whoever has nothing more to say still hears the other one."""
    one, other = ends
    one.sendall(b"question")
    one.shutdown(socket.SHUT_WR)
    assert read_all(other) == b"question"
    for word in (b"first ", b"second"):
        other.sendall(word)
        assert read_exactly(one, 6) == word
    other.shutdown(socket.SHUT_WR)
    assert read_all(one) == b""


@WAYS
def test_reset(ends):
    one, other = ends
    one.sendall(b"x")
    assert other.recv(1) == b"x"
    reset(one)
    with pytest.raises(ConnectionResetError):
        other.recv(1)


@WAYS
def test_urgent_data_is_left_out(ends):
    """The byte itself does not cross; all around it does, in order."""
    one, other = ends
    one.sendall(b"before")
    one.send(b"!", socket.MSG_OOB)
    one.sendall(b"after")
    one.shutdown(socket.SHUT_WR)
    assert read_all(other) == b"beforeafter"


@WAYS
def test_reader_that_stands_still(ends):
    """A window of zero holds the sender, without end and without loss."""
    one, other = ends
    over = threading.Event()

    def send():
        one.sendall(BULK)
        one.shutdown(socket.SHUT_WR)
        over.set()

    threading.Thread(target=send, daemon=True).start()
    assert not over.wait(1.5)
    assert hashlib.sha256(read_all(other)).digest() == hashlib.sha256(BULK).digest()
    assert over.wait(60)
