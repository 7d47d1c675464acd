# SPDX-License-Identifier: Apache-2.0
"""The resolver behind the redirect of a nameserver: real dnsmasq, dig and getent around it.

A laptop namespace with the resolver, and a remote one with two dnsmasq: the laptop's own nameserver
(10.9.0.53), and what stands for the cluster's (10.9.0.54). What the laptop sends to its nameserver is
redirected to the resolver, except with the mark of the resolver's own sockets.
"""

import contextlib
import ctypes
import json
import os
import random
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(os.environ.get("TP_BUILD", ROOT / "build/dev")) / "tests/netns/dnsdriver"
NAMESERVER, NAMESERVER6, CLUSTER = "10.9.0.53", "fd00:9::53", "10.9.0.54"
MARK = 0x7E1E
CLONE_NEWNET = 0x40000000
TYPES = {"A": 1, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}

UPSTREAM_RECORDS = [
    "--host-record=www.example.com,192.0.2.10,2001:db8::10", "--host-record=printer,192.0.2.20",
    "--host-record=git.corp.example,192.0.2.30", "--cname=alias.example.com,www.example.com",
    "--host-record=web.other,192.0.2.40", "--host-record=lan.shop,192.0.2.50",
    *[f"--txt-record=big.example.com,{'x' * 200}{i}" for i in range(12)],
]
CLUSTER_RECORDS = [
    f"--auth-server=ns.dns.cluster.local,{CLUSTER}", "--auth-zone=cluster.local,10.96.0.0/16",
    "--auth-ttl=30", "--auth-soa=1,hostmaster.cluster.local,1200,120,30",
    "--host-record=web.shop.svc.cluster.local,10.96.0.10",
    "--host-record=local.default.svc.cluster.local,10.96.0.11",
    "--cname=alias.shop.svc.cluster.local,web.shop.svc.cluster.local",
    "--host-record=web-0.web.shop.svc.cluster.local,10.96.0.12",
    "--ptr-record=10.0.96.10.in-addr.arpa,web.shop.svc.cluster.local",
    "--srv-host=_http._tcp.web.shop.svc.cluster.local,web.shop.svc.cluster.local,8080",
    *[f"--txt-record=big.shop.svc.cluster.local,{'y' * 200}{i}" for i in range(12)],
]


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
    return result


class Namespace:
    """Net and mount namespaces that live as long as a process blocked on our pipe."""

    def __init__(self):
        self.keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *args):
        return ["nsenter", "-t", str(self.keeper.pid), "-n", "-m", *args]

    def run(self, *args, check=True, **kwargs):
        return subprocess.run(self.command(*args), check=check, text=True, capture_output=True,
                              timeout=30, **kwargs)

    @contextlib.contextmanager
    def entered(self):
        """Sockets made in here belong to the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/proc/{self.keeper.pid}/ns/net") as target:
            assert libc.setns(target.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), CLONE_NEWNET) == 0

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait(10)


class Dnsmasq:
    def __init__(self, namespace, address, log, records):
        self.log = log
        self.namespace = namespace
        self.address = address
        self.args = ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                     "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--local-ttl=60",
                     "--log-queries", f"--log-facility={log}", *(f"--listen-address={a}" for a in address), *records]
        self.start()

    def start(self):
        self.log.write_text("")
        self.process = subprocess.Popen(self.namespace.command(*self.args, "--pid-file"))
        wait_until(lambda: "started" in self.log.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def asked(self, name):
        """How often it was asked for this name, of any type."""
        return len(re.findall(rf"(?:query|auth)\[[^\]]*\] {re.escape(name)} from", self.log.read_text()))


class Resolver:
    def __init__(self, namespace):
        self.process = subprocess.Popen(
            namespace.command(str(DRIVER), NAMESERVER, CLUSTER, "default", "default", "shop"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


class World:
    def __init__(self, folder):
        self.laptop, self.remote = Namespace(), Namespace()
        self.laptop.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
                        str(self.remote.keeper.pid))
        for namespace, addresses in ((self.laptop, ("10.9.0.1/24", "fd00:9::1/64")),
                                     (self.remote, (f"{NAMESERVER}/24", f"{CLUSTER}/24", f"{NAMESERVER6}/64"))):
            for address in addresses:
                namespace.run("ip", "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
            namespace.run("ip", "link", "set", "eth0", "up")
        self.upstream = Dnsmasq(self.remote, [NAMESERVER, NAMESERVER6], folder / "upstream.log", UPSTREAM_RECORDS)
        self.cluster = Dnsmasq(self.remote, [CLUSTER], folder / "cluster.log", CLUSTER_RECORDS)
        self.resolver = Resolver(self.laptop)
        self.laptop.run("nft", "-f", "-", input=f"""
            table inet dns {{ chain output {{ type nat hook output priority -100;
                meta mark {MARK} accept
                ip daddr {NAMESERVER} meta l4proto {{ tcp, udp }} th dport 53 redirect to :{self.resolver.port}
                ip6 daddr {NAMESERVER6} meta l4proto {{ tcp, udp }} th dport 53 redirect to :{self.resolver.port}
            }}
            }}""")
        files = {"/etc/resolv.conf": f"nameserver {NAMESERVER}\nsearch corp.example\n",
                 "/etc/nsswitch.conf": "hosts: files dns\n", "/etc/hosts": "127.0.0.1 localhost\n"}
        for path, text in files.items():
            source = folder / Path(path).name
            source.write_text(text)
            self.laptop.run("mount", "--bind", str(source), path)

    def dig(self, *args, server=NAMESERVER):
        return self.laptop.run("dig", f"@{server}", "+tries=1", "+timeout=8", *args, check=False).stdout

    def short(self, *args, **kwargs):
        return self.dig("+short", *args, **kwargs).split()

    def ask(self, message, direct=False, tcp=False, timeout=8.0):
        """One raw message to the nameserver, past the redirect or through it."""
        with self.laptop.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        with sock:
            if direct:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
            sock.settimeout(timeout)
            sock.connect((NAMESERVER, 53))
            if not tcp:
                sock.send(message)
                return sock.recv(65535)
            sock.sendall(struct.pack(">H", len(message)) + message)
            return read_message(sock)

    def close(self):
        try:
            self.resolver.stop()
        finally:
            self.upstream.stop()
            self.cluster.stop()
            self.laptop.close()
            self.remote.close()


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, "closed early"
        data += more
    return data


def read_message(sock):
    return read_exactly(sock, struct.unpack(">H", read_exactly(sock, 2))[0])


def query(name, rtype="A", qid=None, edns=None, rclass=1, flags=0x0100):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    qid = random.randrange(65536) if qid is None else qid
    message = struct.pack(">6H", qid, flags, 1, 0, 0, 0 if edns is None else 1)
    message += labels + struct.pack(">BHH", 0, TYPES[rtype], rclass)
    return message + (b"" if edns is None else struct.pack(">BHHIH", 0, 41, edns, 0, 0))


def rcode(message):
    return message[3] & 15


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    result = World(tmp_path_factory.mktemp("dns"))
    yield result
    result.close()


@pytest.mark.parametrize("name,address", [
    ("web.shop", "10.96.0.10"), ("web.shop.svc", "10.96.0.10"), ("web.shop.svc.cluster.local", "10.96.0.10"),
    ("WEB.Shop", "10.96.0.10"), ("local", "10.96.0.11"), ("web-0.web.shop.svc", "10.96.0.12")])
def test_cluster_names(world, name, address):
    answer = world.dig(name)
    assert f"{name}." in answer and f"\tA\t{address}" in answer
    assert int(re.search(rf"{re.escape(name)}\.\s+(\d+)\s+IN\s+A", answer).group(1)) <= 5
    assert "flags: qr aa rd ra;" in answer
    assert world.short("+tcp", name) == [address]


def test_ipv6_nameserver(world):
    assert world.short("web.shop", server=NAMESERVER6) == ["10.96.0.10"]
    assert world.short("+tcp", "web.shop", server=NAMESERVER6) == ["10.96.0.10"]


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
        sock = socket.create_connection((NAMESERVER, 53), timeout=8)
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
    with world.laptop.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.connect((NAMESERVER, 53))
        for message in (b"", good[:11], bytes([good[0], good[1], good[2] | 0x80]) + good[3:], good + b"junk"):
            sock.send(message)
        rng = random.Random(1)
        for _ in range(500):
            noise = bytearray(query("web.shop", edns=1232))
            for _ in range(3):
                noise[rng.randrange(len(noise))] = rng.randrange(256)
            sock.send(bytes(noise[:rng.randrange(len(noise))]) if rng.random() < 0.3 else bytes(noise))
    with world.laptop.entered():
        sock = socket.create_connection((NAMESERVER, 53), timeout=8)
    with sock:
        sock.sendall(b"\xff\xff" + b"\0" * 100)
    assert world.short("web.shop") == ["10.96.0.10"]


def test_wpad(world):
    for name in ("wpad", "wpad.corp.example"):
        assert "status: NXDOMAIN" in world.dig(name)
        assert world.upstream.asked(name) == world.cluster.asked(name) == 0


def test_absent_name_is_asked_once(world):
    for _ in range(20):
        assert rcode(world.ask(query("missing.shop.svc"))) == 3
    assert world.cluster.asked("missing.shop.svc.cluster.local") == 1


def test_new_address_is_seen(world):
    """A service made anew is answered with its new address a second later."""
    assert world.short("web.shop") == ["10.96.0.10"]
    world.cluster.stop()
    world.cluster.args = [a.replace("10.96.0.10", "10.96.0.99") for a in world.cluster.args]
    world.cluster.start()
    started = time.monotonic()
    wait_until(lambda: world.short("web.shop") == ["10.96.0.99"], 3)
    assert time.monotonic() - started < 2
    world.cluster.stop()
    world.cluster.args = [a.replace("10.96.0.99", "10.96.0.10") for a in world.cluster.args]
    world.cluster.start()
    wait_until(lambda: world.short("web.shop") == ["10.96.0.10"], 3)


def test_tunnel_down(world):
    """Without the cluster its names fail, never 'do not exist'; the others resolve."""
    world.resolver.tell("down")
    try:
        assert rcode(world.ask(query("gone.shop.svc"))) == 2
        assert rcode(world.ask(query("gone.shop"))) in (2, 5)
        assert world.short("printer") == ["192.0.2.20"] and world.short("www.example.com") == ["192.0.2.10"]
    finally:
        world.resolver.tell("up")


def test_tunnel_mute(world):
    """A question that is never answered fails in time, and does not hold up the next one."""
    world.resolver.tell("mute")
    try:
        started = time.monotonic()
        assert rcode(world.ask(query("mute.shop.svc"))) == 2
        assert 4 < time.monotonic() - started < 7
    finally:
        world.resolver.tell("up")
    assert rcode(world.ask(query("mute.shop.svc"))) == 3


def test_nameserver_gone(world):
    world.upstream.stop()
    try:
        started = time.monotonic()
        assert rcode(world.ask(query("www.example.com"))) == 2
        assert rcode(world.ask(query("www.example.com"), tcp=True)) == 2
        assert time.monotonic() - started < 2
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
        started = time.monotonic()
        assert rcode(world.ask(query("www.example.com"))) == 2
        assert 4.5 < time.monotonic() - started < 6
        counted = world.remote.run("nft", "list", "table", "inet", "lossy").stdout
        assert "counter packets 2 " in counted
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
        sock.settimeout(8)
        for j in range(100):
            sock.send(query(f"n{i}-{j}.shop.svc", qid=j))
        answered += len({sock.recv(512)[:2] for _ in range(100)})
        sock.close()
    assert answered == 2000


def test_lookups_cost_little(world):
    """1,000 lookups of a name that is not the cluster's, alternating with direct ones."""
    times = {True: [], False: []}
    for i in range(2000):
        started = time.perf_counter()
        assert rcode(world.ask(query("www.example.com"), direct=i % 2 == 0)) == 0
        times[i % 2 == 0].append((time.perf_counter() - started) * 1000)
    p50, p99 = ({d: sorted(times[d])[int(len(times[d]) * q)] for d in times} for q in (0.5, 0.99))
    print(f"\nlookup ms p50/p99: direct {p50[True]:.2f}/{p99[True]:.2f} resolver {p50[False]:.2f}/{p99[False]:.2f}")
    assert p50[False] - p50[True] < 2
