# SPDX-License-Identifier: Apache-2.0
"""The flow engine on a laptop with filters of its own."""
import socket
import subprocess

import pytest

from conftest import rig_of
from flowrig import TARGETS, FlowRig

rig = rig_of(FlowRig)


def load(rig, ruleset):
    subprocess.run(rig.laptop.command("nft", "-f", "-"), input=ruleset, text=True, check=True)


def exchange(rig, family=4):
    client, server = rig.pair(family)
    client.sendall(b"ping")
    assert server.recv(10) == b"ping"
    server.sendall(bytes(200_000))
    server.shutdown(socket.SHUT_WR)
    left = 200_000
    while left:
        left -= len(client.recv(65536))
    client.close()
    server.close()
    rig.wait_counter("pumps", 0)


def test_connection_tracking_finds_nothing_invalid(rig):
    load(rig, """
table inet fw {
	chain input {
		type filter hook input priority 0
		ct state invalid counter drop
	}
	chain output {
		type filter hook output priority 0
		ct state invalid counter drop
	}
}
""")
    for family in (4, 6):
        for _ in range(5):
            exchange(rig, family)
        with pytest.raises(ConnectionRefusedError):
            rig.socket(family).connect((TARGETS[family], 9))
    shown = rig.laptop.run("nft", "list", "ruleset").stdout
    assert shown.count("packets 0 bytes 0") == 2, shown


def test_strict_reverse_path_filter(rig):
    rig.laptop.run("sysctl", "-q", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.tp0.rp_filter=1")
    exchange(rig)
    rig.laptop.run("ping", "-c", "1", "-W", "20", TARGETS[4])


def test_firewall_that_drops_new_connections_needs_the_interface_allowed(rig):
    """The limit that docs/dataplane.md names, and its remedy."""
    load(rig, """
table inet fw {
	chain input {
		type filter hook input priority 0; policy drop
		iif lo accept
		ct state established,related accept
	}
}
""")
    server, port = rig.listen()
    client = rig.socket()
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.connect((TARGETS[4], port))
    server.close()
    rig.laptop.run("nft", "add", "rule", "inet", "fw", "input", "iifname", "tp0", "accept")
    exchange(rig)
