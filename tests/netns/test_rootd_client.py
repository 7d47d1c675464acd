# SPDX-License-Identifier: Apache-2.0
"""The user daemon's side of the protocol against a root daemon that lies, hangs or goes."""
import pathlib
import re
import socket
import struct
import subprocess
import threading

import pytest

import rootd as proto
from conftest import DEADLINE_S, program, read_line
from rootd import Client

FAKE = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("\\0telepresence-rootd-0")
listener.listen()
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [listener.fileno()])
"""
HELLO_REPLY = struct.pack("!H32s", 3, b"9.9.9")
TUN_REPLY = struct.pack("!I16sB", 7, b"tel0", 1)


def answer(kind, payload=b"", request_id=None):
    return lambda request: proto.frame(
        kind, payload, request_id=struct.unpack("!I", request[4:8])[0] if request_id is None
        else request_id)


class Fake:
    """Listens in the namespace as root and answers from a list; None: closes."""

    def __init__(self, netns, answers):
        mine, theirs = socket.socketpair()
        with mine, theirs:
            netns.run("/usr/bin/python3", "-c", FAKE, theirs.fileno(), pass_fds=[theirs.fileno()])
            _, fds, _, _ = socket.recv_fds(mine, 1, 1)
        self.listener = socket.socket(fileno=fds[0])
        self.thread = threading.Thread(target=self.serve, args=(answers,), daemon=True)
        self.thread.start()

    def serve(self, answers):
        with self.listener, self.listener.accept()[0] as peer:
            for make, fds in answers:
                request = peer.recv(20000)
                if make is None:
                    return
                socket.send_fds(peer, [make(request)], fds)
            while peer.recv(20000):
                pass


HELLO = (answer(proto.HELLO | proto.REPLY, HELLO_REPLY), [])


@pytest.mark.parametrize("lie,text", [
    ((answer(proto.HELLO | proto.REPLY, struct.pack("!H32s", 2, b"0.0.1")), []),
     "conflict the root daemon is of version 0.0.1"),
    ((answer(proto.HELLO | proto.REPLY, HELLO_REPLY[:-1]), []), "malformed"),
    ((answer(proto.TUN | proto.REPLY, TUN_REPLY), []), "answer 130 to request 1"),
    ((answer(proto.HELLO | proto.REPLY, HELLO_REPLY, request_id=99), []), "answer 129 to request 1"),
    ((answer(proto.HELLO | proto.REPLY, HELLO_REPLY), [0]), "descriptors"),
    ((lambda _: b"x" * 17000, []), "more than"),
    ((answer(proto.ERROR, struct.pack("!IBH", 16, 5, 4) + b"busy", request_id=0), []),
     "error -16 conflict busy"),
    ((None, []), "the root daemon has ended"),
])
def test_hello(netns, lie, text):
    fake = Fake(netns, [lie])
    done = netns.run(program("rootclient"), 0, check=False)
    fake.thread.join(DEADLINE_S)
    assert done.returncode != 0
    assert text in done.stdout


@pytest.mark.parametrize("lie,text", [
    ((answer(proto.TUN | proto.REPLY, TUN_REPLY), []), "answer 130 to request 2"),
    ((answer(proto.TUN | proto.REPLY, TUN_REPLY), [0, 0]), "descriptors"),
    ((answer(proto.TUN | proto.REPLY, TUN_REPLY[:-1] + b"\2"), [0]), "malformed"),
    ((answer(proto.TUN | proto.REPLY, struct.pack("!I16sB", 7, b"0123456789abcdef", 1)), [0]),
     "malformed"),
    ((None, []), "the root daemon has ended"),
])
def test_broken_connections_stay_broken(netns, lie, text):
    Fake(netns, [HELLO, lie])
    client = Client(netns)
    assert text in client.say("tun - 1500 198.18.0.1/30 -")
    assert client.say("routes 10.0.0.0/8").startswith("error ")


def test_a_silent_daemon_is_given_up(netns):
    """Bounded by LIMIT_IPC_TIMEOUT_MS: the user daemon's loop stands still meanwhile."""
    Fake(netns, [HELLO])
    client = Client(netns)
    client.process.stdin.write(b"routes 10.0.0.0/8\n")
    line = read_line(client.process.stdout, "the time limit").decode()
    assert re.search(r"unreachable root daemon: the root daemon does not answer: sudo kill -9 \d+ ends it", line)


@pytest.mark.parametrize("line,reply,fds", [
    ("routes 10.0.0.0/8", answer(proto.ROUTES | proto.REPLY), [0]),
    ("tun - 1500 198.18.0.1/30 -", answer(proto.TUN | proto.REPLY, TUN_REPLY), [0, 0]),
    ("tun - 1500 198.18.0.1/30 -", answer(proto.TUN | proto.REPLY, b"short"), [0]),
])
def test_descriptors_do_not_leak(netns, line, reply, fds):
    Fake(netns, [HELLO, (reply, fds)])
    client = Client(netns)
    fds = pathlib.Path(f"/proc/{client.process.pid}/fd")
    before = len(list(fds.iterdir()))
    assert client.say(line).startswith("error ")
    assert len(list(fds.iterdir())) == before


def test_nobody_there(netns):
    done = netns.run(program("rootclient"), 0, check=False)
    assert done.stdout.startswith("error -111 unreachable ")
    assert subprocess.run([program("rootclient")], check=False).returncode == 1
