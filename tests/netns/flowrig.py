# SPDX-License-Identifier: Apache-2.0
"""A laptop and a cluster with the flow engine between them, for test_flow*.py."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import threading

from conftest import DEADLINE_S, program, read_line, wait_for

LAPTOP4, PEER4, LAPTOP6, PEER6 = "198.18.0.1", "198.18.0.2", "fd00:5::1", "fd00:5::2"
TARGETS = {4: "10.244.0.2", 6: "fd00:244::2"}
RULES = {81: "silent", 82: "prohibited", 83: "net", 84: "host", 85: "held"}


def in_netns(netns, function):
    """Calls function in a thread of the namespace; sockets that it makes stay there."""
    result = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{netns.name}", encoding="ascii") as file:
            assert libc.setns(file.fileno(), 0x40000000) == 0, "setns"
        try:
            result.append((True, function()))
        except OSError as error:
            result.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(2 * DEADLINE_S)
    assert result, "hangs in the namespace"
    done, value = result[0]
    if not done:
        raise value
    return value


class FlowRig:
    """flowecho between two namespaces; up when the constructor returns."""

    # For flowecho: what is in its environment besides.
    environment = {}

    def __init__(self, make_netns):
        self.laptop = make_netns("laptop")
        self.cluster = make_netns("cluster")
        self.sockets = []
        for family, target in TARGETS.items():
            length = 32 if family == 4 else 128
            self.cluster.run("ip", "addr", "add", f"{target}/{length}", "dev", "lo")
        self.before = self.laptop.snapshot()
        self.process = self.laptop.popen(
            program("flowecho"), "tp0", f"/run/netns/{self.cluster.name}", LAPTOP4, PEER4,
            LAPTOP6, PEER6, *[f"{port}={rule}" for port, rule in RULES.items()],
            stdout=subprocess.PIPE, bufsize=0, env=os.environ | self.environment)
        assert json.loads(read_line(self.process.stdout, "ready")) == {"event": "ready"}
        self.laptop.run("ip", "addr", "add", f"{LAPTOP4}/30", "dev", "tp0")
        self.laptop.run("ip", "addr", "add", f"{LAPTOP6}/126", "dev", "tp0", "nodad")
        self.laptop.run("ip", "link", "set", "tp0", "up")
        self.laptop.run("ip", "route", "add", "10.244.0.0/16", "dev", "tp0")
        self.laptop.run("ip", "-6", "route", "add", "fd00:244::/64", "dev", "tp0")
        for netns in (self.laptop, self.cluster):
            wait_for(netns.owns_addresses, f"a route to each address of {netns.name}")

    def counters(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(read_line(self.process.stdout, "counters"))

    def wait_counter(self, name, value):
        return wait_for(lambda: self.counters()[name] == value, f"{name} = {value}")

    def _own(self, sock):
        sock.settimeout(DEADLINE_S)
        self.sockets.append(sock)
        return sock

    def listen(self, family=4, kind=socket.SOCK_STREAM):
        """A socket on the target's address, in the cluster; and its port."""
        def make():
            sock = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
            sock.bind((TARGETS[family], 0))
            if kind == socket.SOCK_STREAM:
                sock.listen(512)
            return sock
        sock = self._own(in_netns(self.cluster, make))
        return sock, sock.getsockname()[1]

    def socket(self, family=4, kind=socket.SOCK_STREAM):
        """A socket on the laptop."""
        return self._own(in_netns(self.laptop, lambda: socket.socket(
            socket.AF_INET if family == 4 else socket.AF_INET6, kind)))

    def pair(self, family=4):
        """A connection: the laptop's end, the cluster's end."""
        server, port = self.listen(family)
        client = self.socket(family)
        client.connect((TARGETS[family], port))
        return client, self._own(server.accept()[0])

    def close(self):
        for sock in self.sockets:
            sock.close()
