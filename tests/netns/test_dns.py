# SPDX-License-Identifier: Apache-2.0
"""The resolver behind the redirect of a nameserver: real dnsmasq, dig and getent around it.

A laptop namespace with the resolver, and a remote one with two dnsmasq: the laptop's own nameserver
(10.9.0.53), and what stands for the cluster's (10.9.0.54). What the laptop sends to its nameserver is
redirected to the resolver, except with the mark of the resolver's own sockets.
"""

import os
import random
import re
import signal
import socket
import struct

import pytest

from dnsworld import NAMESERVER, NAMESERVER6, Dnsmasq, World, query, rcode, read_message, wait_until
from timing import best_of, took


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    result = World(tmp_path_factory.mktemp("dns"))
    yield result
    result.close()


@pytest.mark.parametrize("name,address", [
    ("web.shop", "10.96.0.10"), ("web.shop.svc", "10.96.0.10"), ("web.shop.svc.cluster.local", "10.96.0.10"),
    ("WEB.Shop", "10.96.0.10"), ("local", "10.96.0.11"), ("web-0.web.shop.svc", "10.96.0.12"),
    ("web-0.web.shop", "10.96.0.12")])
def test_cluster_names(world, name, address):
    answer = world.dig(name)
    assert f"{name}." in answer and f"\tA\t{address}" in answer
    assert int(re.search(rf"{re.escape(name)}\.\s+(\d+)\s+IN\s+A", answer).group(1)) <= 5
    assert "flags: qr aa rd ra;" in answer
    assert world.short("+tcp", name) == [address]


def test_ipv6_nameserver(world):
    assert world.short("web.shop", server=NAMESERVER6) == ["10.96.0.10"]
    assert world.short("+tcp", "web.shop", server=NAMESERVER6) == ["10.96.0.10"]


def test_settings(world):
    """Names and suffixes that a user takes from the cluster or gives to it (the driver's settings)."""
    assert world.short("printer.shop") == ["192.0.2.60"]
    assert world.short("a.private.example") == ["192.0.2.61"]
    assert world.short("a.in.private.example") == ["10.97.0.62"]
    assert world.short("b.in.private.example") == ["192.0.2.62"]


def test_mappings(world):
    assert world.short("db.corp") == ["web.shop.", "10.96.0.10"]
    assert world.short("DB.corp", "+tcp") == ["web.shop.", "10.96.0.10"]
    assert world.short("db.corp", "CNAME") == ["web.shop."]
    assert world.short("www.corp") == ["www.example.com.", "192.0.2.10"]
    assert world.short("www.corp", "AAAA") == ["www.example.com.", "2001:db8::10"]
    assert world.short("fixed.corp") == ["192.0.2.77"]
    assert world.short("fixed.corp", "AAAA") == [] and "status: NOERROR" in world.dig("fixed.corp", "AAAA")
    assert "192.0.2.10" in world.laptop.run("getent", "ahosts", "www.corp").stdout
    # More than fits into UDP, from the nameserver: cut and marked here, whole by TCP.
    cut = world.ask(query("big.corp", "TXT"))
    assert len(cut) <= 512 and cut[2] & 2
    assert world.ask(query("big.corp", "TXT"), tcp=True).count(b"x" * 200) == 12
    world.resolver.tell("down")
    try:
        assert world.short("fixed.corp") == ["192.0.2.77"] and "192.0.2.10" in world.short("www.corp")
        # The cluster's answer from before is kept for a second at most.
        wait_until(lambda: rcode(world.ask(query("db.corp"))) in (2, 5))
    finally:
        world.resolver.tell("up")


def test_loop_is_found(world):
    """A nameserver that forwards to a server of this machine, which asks that nameserver: said, and each query ends."""
    world.resolver.tell("probe")
    assert world.short("www.example.com") == ["192.0.2.10"]
    assert world.resolver.tell("counters")["loops"] == 0
    world.upstream.stop()
    plain = world.upstream.args
    world.upstream.args = [*plain, "--server=10.9.0.1"]
    world.upstream.start()
    local = Dnsmasq(world.laptop, ["10.9.0.1"], world.folder / "local.log", [f"--server={NAMESERVER}"])
    try:
        world.resolver.tell("probe")
        wait_until(lambda: world.resolver.tell("counters")["loops"] == 1)
        assert rcode(world.ask(query("round.and.round.example"))) in (2, 5)
        assert world.short("www.example.com") == ["192.0.2.10"] and world.short("web.shop") == ["10.96.0.10"]
    finally:
        local.stop()
        world.upstream.stop()
        world.upstream.args = plain
        world.upstream.start()


def test_other_types(world):
    assert world.short("alias.shop") == ["web.shop.svc.cluster.local.", "10.96.0.10"]
    assert world.short("_http._tcp.web.shop", "SRV") == ["0", "0", "8080", "web.shop.svc.cluster.local."]
    assert world.short("-x", "10.96.0.10") == ["web.shop.svc.cluster.local."]
    assert "status: NOERROR" in world.dig("web.shop", "AAAA")
    assert "status: NXDOMAIN" in world.dig("absent.shop.svc")


@pytest.mark.parametrize("name,address", [
    ("web.shop", "10.96.0.10"), ("local", "10.96.0.11"), ("www.example.com", "2001:db8::10"), ("git", "192.0.2.30"),
    ("printer", "192.0.2.20"), ("lan.shop", "192.0.2.50"), ("web.other", "192.0.2.40")])
def test_glibc(world, name, address):
    assert address in world.laptop.run("getent", "ahosts", name).stdout


def test_glibc_absent(world):
    assert world.laptop.run("getent", "hosts", "absent.shop", check=False).returncode == 2


FORWARDED = {
    "a": query("www.example.com"), "aaaa": query("www.example.com", "AAAA"), "case": query("wWw.eXaMpLe.CoM"),
    "cname": query("alias.example.com"), "nodata": query("www.example.com", "SRV"), "absent": query("absent.example.com"),
    "edns": query("www.example.com", edns=1232), "truncated": query("big.example.com", "TXT"),
    "large": query("big.example.com", "TXT", edns=4096), "search": query("web.shop.corp.example"),
    "chaos": query("version.bind", "TXT", rclass=3), "root": query("", "SOA"), "norecurse": query("www.example.com", flags=0),
    "unlikely": query("a\x01b.shop"), "notify": query("example.com", "SOA", flags=0x2000)}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("message", FORWARDED.values(), ids=FORWARDED)
def test_forwarded_unchanged(world, message, tcp):
    before = world.resolver.tell("counters")["forwarded"]
    assert world.ask(message, tcp=tcp) == world.ask(message, direct=True, tcp=tcp)
    assert world.resolver.tell("counters")["forwarded"] == before + 1


def test_source_ports_may_repeat(world):
    """Conntrack does not confuse a client with a socket of the resolver that had the same port."""
    assert rcode(world.ask(query("www.example.com"), direct=True, port=40001)) == 0
    assert rcode(world.ask(query("web.shop"), port=40001)) == 0
    before = world.resolver.tell("counters")["queries"]
    assert rcode(world.ask(query("web.shop"), direct=True, port=40001)) == 5
    assert rcode(world.ask(query("web.shop"), port=40002)) == 0
    assert rcode(world.ask(query("web.shop"), direct=True, port=40002)) == 5
    assert world.resolver.tell("counters")["queries"] == before + 1


def test_truncation(world):
    """More than fits is cut and said to be, and TCP brings all of it."""
    for edns, limit in ((None, 512), (1232, 1232)):
        cut = world.ask(query("big.shop", "TXT", edns=edns))
        assert len(cut) <= limit and cut[2] & 2
    whole = world.ask(query("big.shop", "TXT"), tcp=True)
    assert whole.count(b"y" * 200) == 12 and not whole[2] & 2
    assert world.ask(query("big.shop", "TXT", edns=4096)).count(b"y" * 200) == 12
    assert len(re.findall("yyyy", world.dig("big.shop", "TXT"))) >= 12


def test_pipelined(world):
    """Several questions on one connection, also when the client closes its half."""
    names = [f"{name}.example.com" for name in ("www", "alias", "absent")] + ["web.shop", "local"]
    with world.laptop.entered():
        sock = socket.create_connection((NAMESERVER, 53), timeout=20)
    with sock:
        messages = [query(name, qid=i) for i, name in enumerate(names)]
        data = b"".join(struct.pack(">H", len(m)) + m for m in messages)
        for i in range(0, len(data), 7):
            sock.sendall(data[i:i + 7])
        sock.shutdown(socket.SHUT_WR)
        assert {struct.unpack(">H", read_message(sock)[:2])[0] for _ in names} == set(range(len(names)))
        assert sock.recv(1) == b""


def test_hostile_messages(world):
    """Malformed ones get FORMERR or nothing, and the resolver lives."""
    good = query("web.shop")
    assert rcode(world.ask(good[:4] + b"\0\0" + good[6:])) == 1
    assert rcode(world.ask(good[:4] + b"\0\2" + good[6:])) == 1
    assert rcode(world.ask(good[:-3])) == 1
    assert rcode(world.ask(good[:12] + b"\xc0\x0c\0\1\0\1")) == 1
    # A record is announced and missing; a type that no question has, which answers none of another type either.
    assert rcode(world.ask(good[:10] + b"\0\1" + good[12:])) == 1
    assert rcode(world.ask(good[:-4] + b"\0\0\0\1")) == 1
    assert world.short("web.shop", "TXT") == []
    with world.laptop.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dropped = world.resolver.tell("counters")["dropped"]
    with sock:
        sock.connect((NAMESERVER, 53))
        for message in (b"", good[:11], bytes([good[0], good[1], good[2] | 0x80]) + good[3:], good + b"junk"):
            sock.send(message)
        wait_until(lambda: world.resolver.tell("counters")["dropped"] == dropped + 3)
        rng = random.Random(1)
        for _ in range(500):
            noise = bytearray(query("web.shop", edns=1232))
            for _ in range(3):
                noise[rng.randrange(len(noise))] = rng.randrange(256)
            sock.send(bytes(noise[:rng.randrange(len(noise))]) if rng.random() < 0.3 else bytes(noise))
    with world.laptop.entered():
        sock = socket.create_connection((NAMESERVER, 53), timeout=20)
    with sock:
        sock.sendall(b"\xff\xff" + b"\0" * 100)
    wait_until(lambda: world.short("web.shop") == ["10.96.0.10"])


def test_wpad(world):
    for name in ("wpad", "wpad.corp.example"):
        assert "status: NXDOMAIN" in world.dig(name)
        assert world.upstream.asked(name) == world.cluster.asked(name) == 0


def test_absent_name_is_asked_once(world):

    def ask():
        for _ in range(20):
            assert rcode(world.ask(query("missing.shop.svc"))) == 3
    seconds, _ = took(ask)
    # Kept for five seconds.
    assert world.cluster.asked("missing.shop.svc.cluster.local") <= 1 + seconds // 5


def test_new_address_is_seen(world):
    """A service made anew is answered with its new address a second later."""
    addresses = ["10.96.0.10", "10.96.0.99"]

    def attempt():
        addresses.reverse()
        new, old = addresses
        world.cluster.stop()
        world.cluster.args = [a.replace(old, new) for a in world.cluster.args]
        world.cluster.start()
        return took(wait_until, lambda: world.short("web.shop") == [new])[0]
    assert world.short("web.shop") == addresses[:1]
    try:
        best_of(attempt, 2)
    finally:
        if addresses[0] != "10.96.0.10":
            attempt()


def test_tunnel_down(world):
    """Without the cluster its names fail, never 'do not exist'; the others resolve."""
    world.resolver.tell("down")
    try:
        assert rcode(world.ask(query("gone.shop.svc"))) == 2
        assert rcode(world.ask(query("gone.shop"))) in (2, 5)
        assert world.short("printer") == ["192.0.2.20"] and world.short("www.example.com") == ["192.0.2.10"]
    finally:
        world.resolver.tell("up")


def fails_in(world, name, **kwargs):
    """How long it takes until a query fails."""
    seconds, answer = took(world.ask, query(name), **kwargs)
    assert rcode(answer) == 2
    return seconds


def test_tunnel_mute(world):
    """A question that is never answered fails in time, and does not hold up the next one."""
    world.resolver.tell("mute")
    try:
        best_of(lambda: fails_in(world, "mute.shop.svc", timeout=30), 7, at_least_s=4)
    finally:
        world.resolver.tell("up")
    assert rcode(world.ask(query("mute.shop.svc"))) == 3


def test_nameserver_gone(world):
    world.upstream.stop()
    try:
        for tcp in (False, True):
            best_of(lambda tcp=tcp: fails_in(world, "www.example.com", tcp=tcp), 1)
        assert world.short("web.shop") == ["10.96.0.10"]
    finally:
        world.upstream.start()
    assert world.short("www.example.com") == ["192.0.2.10"]


def test_nameserver_silent(world):
    """Lost queries are repeated once; without any answer the client hears of it after five seconds."""
    world.remote.run("nft", "-f", "-", input="""table inet lossy { chain input { type filter hook input priority 0;
        ip daddr 10.9.0.53 udp dport 53 counter drop
        }
        }""")
    try:
        asked = best_of(lambda: fails_in(world, "www.example.com", timeout=30), 6, at_least_s=4.5)
        assert f"counter packets {2 * asked} " in world.remote.run("nft", "list", "table", "inet", "lossy").stdout
    finally:
        world.remote.run("nft", "delete", "table", "inet", "lossy")
    assert world.short("www.example.com") == ["192.0.2.10"]


def test_many_at_once(world):
    """Two thousand questions without waiting: each is answered, with SERVFAIL where it was too many."""
    with world.laptop.entered():
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    answered = 0
    for i, sock in enumerate(socks):
        sock.connect((NAMESERVER, 53))
        sock.settimeout(20)
        for j in range(100):
            sock.send(query(f"n{i}-{j}.shop.svc", qid=j))
        answered += len({sock.recv(512)[:2] for _ in range(100)})
        sock.close()
    assert answered == 2000


def test_a_burst_waits_until_it_is_read(world):
    """More at once than one socket's buffer holds, from a port each, while the resolver has no processor."""
    with world.laptop.entered():
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(400)]
    lost = world.resolver.tell("counters")["lost"]
    os.kill(world.resolver.process.pid, signal.SIGSTOP)
    try:
        for i, sock in enumerate(socks):
            sock.connect((NAMESERVER, 53))
            sock.settimeout(20)
            sock.send(query(f"b{i}.shop.svc"))
    finally:
        os.kill(world.resolver.process.pid, signal.SIGCONT)
    for sock in socks:
        with sock:
            assert rcode(sock.recv(512)) in (2, 3)
    assert world.resolver.tell("counters")["lost"] == lost


def test_lookups_cost_little(world):
    """Lookups of a name that is not the cluster's, alternating with direct ones."""

    def attempt():
        times = {True: [], False: []}
        for i in range(400):
            seconds, answer = took(world.ask, query("www.example.com"), direct=i % 2 == 0)
            assert rcode(answer) == 0
            times[i % 2 == 0].append(seconds * 1000)
        p50, p99 = ({d: sorted(times[d])[int(len(times[d]) * q)] for d in times} for q in (0.5, 0.99))
        print(f"\nlookup ms p50/p99: direct {p50[True]:.2f}/{p99[True]:.2f} resolver {p50[False]:.2f}/{p99[False]:.2f}")
        return max(0, p50[False] - p50[True]) / 1000
    best_of(attempt, 0.002)
