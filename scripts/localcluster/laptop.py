# SPDX-License-Identifier: Apache-2.0
"""laptop - a developer's machine: a network namespace on a LAN of its own beside the cluster

A cluster has one laptop ("laptop") from the start; more can be added. Each hangs on the router's
bridge "lan" by a cable of its own, gets its resolver by /etc/netns/NAME/resolv.conf (so enter it by
`ip netns exec`, which shows that file as /etc/resolv.conf), and reaches nothing of the cluster but
the API server.

With wan() the cable gets long and thin: the laptop's port leaves the bridge, and the program
tests/wan/wan.c carries its frames to another port of the bridge. The laptop itself sees no change
of its devices, addresses or routes; so it is with cut(), a black hole. unplug() takes the carrier
away.

    laptop eth0 --- PORT  wan.c  BOX --- BOX-lan [lan]         (PORT is in the bridge otherwise)
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess

from . import network
from .plan import cache_root
from .shell import Failure, process_start_time, read_text, run, wait_for, write_file

NAMED = re.compile(r"laptop(\d{0,2})")
MOST = 40
NETNS_ETC = pathlib.Path("/etc/netns")
WAN_SOURCE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "wan" / "wan.c"
OFFLOADS = ("tso", "tx-udp-segmentation")


def wan_program():
    """The path of the built wan, made from its source where the cache does not have it."""
    source = WAN_SOURCE.read_bytes()
    program = cache_root() / f"wan-{hashlib.sha256(source).hexdigest()[:16]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = f"{program}.{os.getpid()}"
        flags = ["-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
        run(["gcc", *flags, "-o", fresh, WAN_SOURCE])
        os.rename(fresh, program)
    return program


class Laptop:
    """One laptop of a cluster: "laptop", "laptop2" ... "laptop40"."""

    def __init__(self, plan, name="laptop"):
        match = NAMED.fullmatch(name)
        number = int(match[1] or "1") if match else 0
        if not 1 <= number <= MOST or match[1] not in ("", str(number)) or match[1] == "1":
            raise Failure(f"laptop name {name!r}: laptop, or laptop2 to laptop{MOST}")
        self.plan = plan
        self.name = name
        self.index = number
        self.netns = plan.netns(name)
        self.router = plan.netns("wan")

    @property
    def addresses(self):
        return [net[10 + self.index] for net in self.plan.lan_nets]

    @property
    def resolver(self):
        return self.plan.lan_nets[0][1]

    def create(self):
        network.add_netns(self.netns)
        network.add_link(self.netns, "eth0", self.router, self.name, "lan")
        for address, net in zip(self.addresses, self.plan.lan_nets, strict=True):
            network.add_address(self.netns, "eth0", address, net)
            network.ip(self.netns, "route", "add", "default", "via", str(net[1]))
        folder = NETNS_ETC / self.netns
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "resolv.conf", f"nameserver {self.resolver}\n")

    def exec_argv(self, argv):
        """The argument list that runs argv on the laptop."""
        return ["ip", "netns", "exec", self.netns, *argv]

    def remove(self):
        self._stop_wan()
        remove_netns(self.netns)

    def wan(self, delay_ms=0.0, rate_mbit=0.0, loss=0.0, queue_kb=1000):
        """Delay each way; rate 0: unlimited; loss in percent. Replaces any wan() or cut()."""
        self._cable({"wan": [delay_ms, rate_mbit, loss, queue_kb], "cut": False})

    def no_wan(self):
        """The short cable again."""
        self._cable({"wan": None, "cut": False})

    def cut(self):
        """Every frame is lost from now on, both ways; the laptop's link stays up."""
        self._cable({**self.cable, "cut": True})

    def uncut(self):
        self._cable({**self.cable, "cut": False})

    def unplug(self):
        """The laptop's eth0 loses its carrier."""
        network.ip(self.router, "link", "set", self.name, "down")

    def plug(self):
        network.ip(self.router, "link", "set", self.name, "up")

    @property
    def cable(self):
        """What lies between laptop and router now."""
        text = read_text(self._file("json"))
        return json.loads(text) if text else {"wan": None, "cut": False}

    def _file(self, kind):
        return self.plan.dir / "router" / f"{self.name}-cable.{kind}"

    def _stop_wan(self):
        words = read_text(self._file("pid")).split()
        if len(words) == 2 and process_start_time(words[0]) == words[1]:
            os.kill(int(words[0]), signal.SIGTERM)
            wait_for("the end of wan", lambda: process_start_time(words[0]) != words[1], 60, 0.01)
        self._file("pid").unlink(missing_ok=True)

    def _set_offloads(self, netns, device, enabled):
        """Off: frames go into wan.c as they go over a wire, no larger than the MTU, and are lost one by one."""
        settings = [word for name in OFFLOADS for word in (name, "on" if enabled else "off")]
        run(network.in_netns(netns, ["ethtool", "-K", device, *settings]))

    def _make_box(self):
        box, lan = f"{self.name}-box", f"{self.name}-lan"
        if run(["ip", "-n", self.router, "-br", "link"]).find(f"{box}@") >= 0:
            return
        network.ip(self.router, "link", "add", box, "type", "veth", "peer", "name", lan)
        network.ip(self.router, "link", "set", lan, "master", "lan", "up")
        network.ip(self.router, "link", "set", box, "arp", "off", "up")
        for device in (box, self.name):
            # The router must not answer on these: only on its bridge.
            setting = f"net.ipv6.conf.{device}.disable_ipv6=1"
            run(network.in_netns(self.router, ["sysctl", "-qw", setting]))

    def _cable(self, wanted):
        self._stop_wan()
        write_file(self._file("json"), json.dumps(wanted) + "\n")
        direct = wanted["wan"] is None and not wanted["cut"]
        lossless = wanted["wan"] is None or wanted["wan"][2] == 0
        self._set_offloads(self.netns, "eth0", lossless)
        if direct:
            network.ip(self.router, "link", "set", self.name, "arp", "on", "master", "lan")
            return
        network.ip(self.router, "link", "set", self.name, "arp", "off", "nomaster")
        if not wanted["cut"]:
            self._make_box()
            self._set_offloads(self.router, f"{self.name}-lan", lossless)
            self._start_wan(wanted["wan"])

    def _start_wan(self, numbers):
        words = [str(wan_program()), self.name, f"{self.name}-box", *map(str, numbers)]
        log = self._file("log")
        with open(log, "wb") as stream:
            child = subprocess.Popen(
                network.in_netns(self.router, words),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        write_file(self._file("pid"), f"{child.pid} {process_start_time(child.pid)}\n")

        def ready():
            if child.poll() is not None:
                raise Failure(f"wan ended: {read_text(log).strip()}")
            return read_text(log).startswith("ready")

        wait_for("wan", ready, 60, 0.01)


def remove_netns(netns):
    """Ends all processes of a namespace and removes it with its files."""

    def none_left():
        pids = [int(pid) for pid in run(["ip", "netns", "pids", netns]).split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    if pathlib.Path("/run/netns", netns).exists():
        wait_for(f"the end of the processes in {netns}", none_left, 60, 0.02)
        run(["ip", "netns", "del", netns])
    folder = NETNS_ETC / netns
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()
    if NETNS_ETC.is_dir() and not any(NETNS_ETC.iterdir()):
        NETNS_ETC.rmdir()
