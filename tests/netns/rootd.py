# SPDX-License-Identifier: Apache-2.0
"""The root daemon and its scripted client, for test_rootd*.py."""
import os
import socket
import struct
import subprocess

from conftest import DEADLINE_S, program, read_line, wait_for

MAGIC = 0x54
HELLO, TUN, ROUTES, DNS, SOCKET = 1, 2, 3, 4, 5
REPLY, ERROR = 0x80, 0xFF


class Rootd:
    """A running root daemon; ready when the constructor returns."""

    def __init__(self, netns, log, uid=0):
        self.log_path = log
        self.uid = uid
        ready, tell = os.pipe()
        with open(log, "ab") as stderr:
            self.process = netns.popen(program("telepresence-rootd"), "--uid", uid, "--ready-fd",
                                       tell, pass_fds=[tell], stderr=stderr)
        os.close(tell)
        with os.fdopen(ready, "rb", buffering=0) as stream:
            assert read_line(stream, "ready") == b"ready\n", self.log()

    def log(self):
        return self.log_path.read_text()

    def ended(self, deadline_s=DEADLINE_S):
        """Its exit status, once it has ended."""
        return self.process.wait(timeout=deadline_s)


class Client:
    """tests/netns/rootclient.c, a line at a time."""

    def __init__(self, netns, uid=0, as_uid=None):
        prefix = ["setpriv", "--reuid", str(as_uid), "--clear-groups"] if as_uid else []
        self.process = netns.popen(*prefix, program("rootclient"), uid, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, bufsize=0)
        self.hello = self.answer("hello")

    def answer(self, what):
        return read_line(self.process.stdout, what).decode().strip()

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        return self.answer(line)

    def ok(self, line):
        answer = self.say(line)
        assert answer.startswith("ok"), f"{line}: {answer}"
        return answer.split()[1:]

    def set_up(self, name="-", addr6="fd00:77::1/126"):
        """A device, two routes and a redirect."""
        name = self.ok(f"tun {name} 1500 198.18.0.1/30 {addr6}")[0]
        self.ok("routes 10.96.0.0/16 10.244.0.0/16 fd00:10::/112")
        self.ok("dns 5353 192.0.2.1 2001:db8::53")
        return name


def frame(kind, payload=b"", magic=MAGIC, reserved=0, request_id=7):
    return struct.pack("!BBHI", magic, kind, reserved, request_id) + payload


def hello(protocol=3, version=b"0.0.0"):
    return frame(HELLO, struct.pack("!H32s", protocol, version))


def addr(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return struct.pack("!B16s", 6 if ":" in text else 4, socket.inet_pton(family, text))


def prefix(text):
    host, length = text.split("/")
    return addr(host) + struct.pack("!B", int(length))


def tun(name=b"", mtu=1500, addr4="198.18.0.1/30"):
    return frame(TUN, struct.pack("!16sI", name, mtu) + prefix(addr4) + bytes(18))


def routes(*texts, count=None):
    body = b"".join(prefix(text) for text in texts)
    return frame(ROUTES, struct.pack("!H", len(texts) if count is None else count) + body)


class RawPeer:
    """Speaks frames of its own making, from this process (in the namespace of `netns`)."""

    def __init__(self, netns, uid=0):
        self.sock = connect_in(netns, f"\0telepresence-rootd-{uid}")
        self.sock.settimeout(DEADLINE_S)

    def exchange(self, data):
        """The type and payload of the answer; (None, b"") when the daemon closes."""
        self.sock.send(data)
        return self.receive()

    def receive(self):
        try:
            answer, fds, _, _ = socket.recv_fds(self.sock, 20000, 4)
        except ConnectionResetError:
            return None, b""
        for fd in fds:
            os.close(fd)
        return (answer[1], answer[8:]) if answer else (None, b"")

    def close(self):
        self.sock.close()


def connect_in(netns, name, as_uid=0):
    """A connected socket; abstract names belong to the namespace the socket was made in."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);"
              "s.connect(sys.argv[1].replace('@','\\0'));"
              "socket.send_fds(socket.socket(fileno=int(sys.argv[2])),[b'x'],[s.fileno()])")
    with mine, theirs:
        netns.run("setpriv", "--reuid", as_uid, "--clear-groups", "/usr/bin/python3", "-c",
                  script, name.replace("\0", "@"), theirs.fileno(),
                  pass_fds=[theirs.fileno()])
        _, fds, _, _ = socket.recv_fds(mine, 1, 1)
    return socket.socket(fileno=fds[0])


def gone(netns, name):
    return wait_for(lambda: name not in netns.run("ip", "-o", "link").stdout, f"{name} gone")
