# SPDX-License-Identifier: Apache-2.0
"""laptop - a developer's machine: a network namespace on a LAN of its own beside the cluster

A cluster has one laptop ("laptop") from the start; more can be added. Each hangs on the router's
bridge "lan" by a cable of its own, gets its resolver by /etc/netns/NAME/resolv.conf (so enter it by
`ip netns exec`, which shows that file as /etc/resolv.conf), and reaches nothing of the cluster but
the API server.
"""

import os
import pathlib
import re
import signal

from . import network
from .shell import Failure, run, wait_for, write_file

NAMED = re.compile(r"laptop(\d?)")
NETNS_ETC = pathlib.Path("/etc/netns")


class Laptop:
    """One laptop of a cluster: "laptop", "laptop2" ... "laptop9"."""

    def __init__(self, plan, name="laptop"):
        match = NAMED.fullmatch(name)
        if not match or match[1] in ("0", "1"):
            raise Failure(f"laptop name {name!r}: laptop, or laptop2 to laptop9")
        self.plan = plan
        self.name = name
        self.index = int(match[1] or "1")
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
        remove_netns(self.netns)


def remove_netns(netns):
    """Ends all processes of a namespace and removes it with its files."""

    def none_left():
        pids = [int(pid) for pid in run(["ip", "netns", "pids", netns]).split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    if pathlib.Path("/run/netns", netns).exists():
        wait_for(f"the end of the processes in {netns}", none_left, 10, 0.02)
        run(["ip", "netns", "del", netns])
    folder = NETNS_ETC / netns
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()
    if NETNS_ETC.is_dir() and not any(NETNS_ETC.iterdir()):
        NETNS_ETC.rmdir()
