# SPDX-License-Identifier: Apache-2.0
"""Datagrams above the MTU, ICMP errors of either side, and packets without a hop left."""
import errno
import os
import socket
import struct

import pytest

from conftest import rig_of, wait_for
from flowrig import LAPTOP4, TARGETS, FlowRig, in_netns

FAMILIES = pytest.mark.parametrize("family", [4, 6])
# What a socket takes: IPv4 counts its own header in the length, IPv6 does not.
LARGEST = 65507
IPV6_RECVERR = 25

rig = rig_of(FlowRig)


@FAMILIES
@pytest.mark.parametrize("size", [1473, 4000, 16385, LARGEST])
def test_datagrams_above_the_mtu(rig, family, size):
    """The kernel sends them to the TUN in pieces; they arrive whole, and so do the answers."""
    server, port = rig.listen(family, socket.SOCK_DGRAM)
    client = rig.socket(family, socket.SOCK_DGRAM)
    client.connect((TARGETS[family], port))
    blob = os.urandom(size)
    client.send(blob)
    data, peer = server.recvfrom(65536)
    assert data == blob
    server.sendto(blob[::-1], peer)
    assert client.recv(65536) == blob[::-1]
    counters = rig.counters()
    assert counters["reassembled"] == 1 and counters["fragments_in"] >= 2
    assert counters["fragment"] == counters["malformed"] == 0


@FAMILIES
def test_large_pings(rig, family):
    """Echo requests come in pieces as well."""
    got = rig.laptop.run("ping", "-c", "3", "-i", "0.05", "-s", "20000", "-W", "20", TARGETS[family])
    assert "3 received" in got.stdout
    assert rig.counters()["reassembled"] == 3


def test_half_a_datagram_is_counted(rig):
    """A piece whose rest never comes is dropped in time, and counted."""
    def send_first_piece():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 7, 0x2000, 64, 17, 0,
                           socket.inet_aton(LAPTOP4), socket.inet_aton(TARGETS[4]))
        sock.sendto(head + bytes(8), (TARGETS[4], 0))
        sock.close()
    in_netns(rig.laptop, send_first_piece)
    rig.wait_counter("fragments_in", 1)
    rig.wait_counter("fragment", 1)


@FAMILIES
def test_closed_port_of_the_application(rig, family):
    """The laptop's kernel refuses what comes for it; the cluster's sender is told by ICMP too."""
    server, port = rig.listen(family, socket.SOCK_DGRAM)
    client = rig.socket(family, socket.SOCK_DGRAM)
    client.connect((TARGETS[family], port))
    client.send(b"x")
    _, peer = server.recvfrom(10)
    client.close()
    server.connect(peer[:2])
    sent = []

    def refused():
        try:
            sent.append(server.send(b"y"))
        except ConnectionRefusedError:
            return True
        return False
    wait_for(refused, "the refusal")
    assert 1 <= rig.counters()["udp_unreachable"] <= len(sent)
    assert rig.counters()["icmp_errors"] >= 1


@FAMILIES
def test_no_hop_left(rig, family):
    """As behind any router: time exceeded, by the TUN's peer."""
    client = rig.socket(family, socket.SOCK_DGRAM)
    level, hops, recverr = (socket.IPPROTO_IP, socket.IP_TTL, 11) if family == 4 else (
        socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, IPV6_RECVERR)
    client.setsockopt(level, hops, 1)
    client.setsockopt(level, recverr, 1)
    client.connect((TARGETS[family], 9))
    client.send(b"x")
    with pytest.raises(OSError) as caught:
        client.recv(1)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert rig.counters()["ttl"] == 1
