# SPDX-License-Identifier: Apache-2.0
"""spaces - a laptop, a manager and a pod as three namespaces, joined by veth or by a long thin cable

    laptop 10.99.0.1 --- veth, or wan.c in a fourth --- 10.99.0.2 manager 10.98.0.1 --- veth --- 10.98.0.2 pod

The pod has two addresses: DIRECT is routed through the manager's namespace, TUNNELLED leads into the TUN of benchtunnel.
Both exist at the same time, so that the two ways of a comparison see the same machine.
"""

import os
import pathlib
import subprocess
import tempfile

from localcluster.laptop import wan_program

from . import machine

DIRECT, TUNNELLED = "10.245.0.2", "10.244.0.2"
PORT = "9000"
# Where frames are lost they go into wan.c as they go over a wire, no larger than the MTU.
OFFLOADS = ("tso", "off", "tx-udp-segmentation", "off")


class Spaces:
    """Up when the block is entered; wan: (delay each way in ms, Mbit/s, loss in percent, queue in KB)."""

    def __init__(self, wan=None, client_cc="-"):
        self.wan = wan
        self.client_cc = client_cc
        self.names = {}
        self.children = []

    def run(self, space, *argv):
        return machine.run(["ip", "netns", "exec", self.names[space], *argv])

    def start(self, space, *argv, ready=True):
        argv = ["ip", "netns", "exec", self.names[space], *map(str, argv)]
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        if ready and child.stdout.readline().strip() != "ready":
            raise machine.Failed(f"{' '.join(argv)}: ended")
        return child

    def _space(self, name):
        self.names[name] = f"tpb-{os.getpid()}-{name}"
        machine.run(["ip", "netns", "add", self.names[name]])
        self.run(name, "ip", "link", "set", "lo", "up")
        self.run(name, "sysctl", "-qw", machine.CUBIC, "net.ipv4.ip_forward=1")

    def _veth(self, one, device_one, two, device_two):
        machine.run(
            ["ip", "link", "add", device_one, "netns", self.names[one], "type", "veth"]
            + ["peer", "name", device_two, "netns", self.names[two]]
        )
        self.run(one, "ip", "link", "set", device_one, "up")
        self.run(two, "ip", "link", "set", device_two, "up")

    def _cable(self):
        if self.wan is None:
            self._veth("laptop", "lan", "manager", "lan")
            return
        self._space("box")
        for index, space in enumerate(("laptop", "manager")):
            self._veth(space, "lan", "box", f"port{index}")
            if self.wan[2] > 0:
                self.run(space, "ethtool", "-K", "lan", *OFFLOADS)
        self.start("box", wan_program(), "port0", "port1", *self.wan)

    def __enter__(self):
        try:
            self._up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _up(self):
        for name in ("laptop", "manager", "pod"):
            self._space(name)
        self._cable()
        self._veth("manager", "pods", "pod", "eth0")
        for space, device, address in (
            ("laptop", "lan", "10.99.0.1/24"),
            ("manager", "lan", "10.99.0.2/24"),
            ("manager", "pods", "10.98.0.1/24"),
            ("pod", "eth0", "10.98.0.2/24"),
            ("pod", "lo", f"{DIRECT}/32"),
            ("pod", "lo", f"{TUNNELLED}/32"),
        ):
            self.run(space, "ip", "addr", "add", address, "dev", device)
        self.run("pod", "ip", "route", "add", "default", "via", "10.98.0.1")
        self.run("laptop", "ip", "route", "add", DIRECT, "via", "10.99.0.2")
        for address in (DIRECT, TUNNELLED):
            self.run("manager", "ip", "route", "add", address, "via", "10.98.0.2")
        self.start("pod", machine.SERVER, PORT, ready=False)
        listening = lambda: self.run("pod", "ss", "-Hltn", "sport", "=", PORT)  # noqa: E731
        machine.wait_for("pumpserver", listening)
        self._tunnel()

    def _tunnel(self):
        with tempfile.TemporaryDirectory() as folder:
            key = pathlib.Path(folder, "key")
            server = self.start("manager", machine.TUNNEL, "server", "8081", key)
            words = ["10.99.0.2", "8081", key, self.client_cc, "tp0", "198.18.0.1", "198.18.0.2"]
            client = self.start("laptop", machine.TUNNEL, "client", *words)
        self.run("laptop", "ip", "addr", "add", "198.18.0.1/30", "dev", "tp0")
        # As src/tun/device.c and src/client/userd/network.c do.
        self.run("laptop", "ip", "link", "set", "tp0", "up", "txqueuelen", "4096", "mtu", "16000")
        self.run("laptop", "ip", "route", "add", TUNNELLED, "dev", "tp0")
        self.pids = {"client": client.pid, "server": server.pid}

    def __exit__(self, *_):
        # The client before its server, whose end it would complain about.
        for child in reversed(self.children):
            child.kill()
            child.wait()
            child.stdout.close()
        for name in self.names.values():
            pids = machine.run(["ip", "netns", "pids", name], check=False).split()
            for pid in pids:
                machine.run(["kill", "-9", pid], check=False)
            machine.run(["ip", "netns", "del", name], check=False)

    def pump(self, address, *words):
        return machine.run_json(["ip", "netns", "exec", self.names["laptop"], machine.PUMP, "tcp", address, PORT, *words])
