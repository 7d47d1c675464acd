# SPDX-License-Identifier: Apache-2.0
"""Namespaces, nameservers and messages of test_dns.py."""

import contextlib
import ctypes
import json
import random
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

from conftest import BUILD, DEADLINE_S, is_up

DRIVER = BUILD / "tests/netns/dnsdriver"
NAMESERVER, NAMESERVER6, CLUSTER = "10.9.0.53", "fd00:9::53", "10.9.0.54"
MARK = 0x7E1E
CLONE_NEWNET = 0x40000000
TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}

UPSTREAM_RECORDS = [
    "--host-record=www.example.com,192.0.2.10,2001:db8::10", "--host-record=printer,192.0.2.20",
    "--host-record=git.corp.example,192.0.2.30", "--cname=alias.example.com,www.example.com",
    "--host-record=web.other,192.0.2.40", "--host-record=printer.shop,192.0.2.60",
    "--host-record=a.private.example,192.0.2.61", "--host-record=b.in.private.example,192.0.2.62", "--host-record=lan.shop,192.0.2.50",
    *[f"--txt-record=big.example.com,{'x' * 200}{i}" for i in range(12)],
]
CLUSTER_RECORDS = [
    "--host-record=printer.shop.svc.cluster.local,10.96.0.60", "--host-record=a.private.example,10.96.0.61",
    "--host-record=a.in.private.example,10.97.0.62",
    f"--auth-server=ns.dns.cluster.local,{CLUSTER}", "--auth-zone=cluster.local,10.96.0.0/16",
    "--auth-zone=in.private.example,10.97.0.0/16",
    "--auth-ttl=30", "--auth-soa=1,hostmaster.cluster.local,1200,120,30",
    "--host-record=web.shop.svc.cluster.local,10.96.0.10",
    "--host-record=local.default.svc.cluster.local,10.96.0.11",
    "--cname=alias.shop.svc.cluster.local,web.shop.svc.cluster.local",
    "--host-record=web-0.web.shop.svc.cluster.local,10.96.0.12",
    "--ptr-record=10.0.96.10.in-addr.arpa,web.shop.svc.cluster.local",
    "--srv-host=_http._tcp.web.shop.svc.cluster.local,web.shop.svc.cluster.local,8080",
    *[f"--txt-record=big.shop.svc.cluster.local,{'y' * 200}{i}" for i in range(12)],
]


def wait_until(condition, seconds=DEADLINE_S):
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
                              timeout=DEADLINE_S, **kwargs)

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
        self.keeper.wait(DEADLINE_S)


class Dnsmasq:
    def __init__(self, namespace, address, log, records):
        self.log = log
        self.namespace = namespace
        self.address = address
        self.args = ["/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                     "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--local-ttl=60",
                     "--log-queries", f"--log-facility={log}", *(f"--listen-address={a}" for a in address), *records]
        self.start()

    def start(self):
        self.log.write_text("")
        # Its end is ours: the pipe closes with this process, however that ends.
        self.process = subprocess.Popen(
            self.namespace.command("sh", "-c", '"$@" & read -r _; kill $!; wait', "sh", *self.args, "--pid-file"),
            stdin=subprocess.PIPE)
        wait_until(lambda: "started" in self.log.read_text())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)

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
        assert self.process.wait(DEADLINE_S) == 0


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
        for namespace in (self.laptop, self.remote):
            wait_until(lambda namespace=namespace: is_up(namespace, "eth0"))
        self.upstream = Dnsmasq(self.remote, [NAMESERVER, NAMESERVER6], folder / "upstream.log", UPSTREAM_RECORDS)
        self.cluster = Dnsmasq(self.remote, [CLUSTER], folder / "cluster.log", CLUSTER_RECORDS)
        self.folder = folder
        self.resolver = Resolver(self.laptop)
        self.laptop.run("nft", "-f", "-", input=self.redirect())
        files = {"/etc/resolv.conf": f"nameserver {NAMESERVER}\nsearch corp.example\n",
                 "/etc/nsswitch.conf": "hosts: files dns\n", "/etc/hosts": "127.0.0.1 localhost\n"}
        for path, text in files.items():
            source = folder / Path(path).name
            source.write_text(text)
            self.laptop.run("mount", "--bind", str(source), path)

    def redirect(self):
        """As the root daemon's. A zone of its own: a client may get a source port that the resolver had a moment
        ago, and conntrack would take its packets for that flow, which has no redirect (or the other way round)."""
        match = [f"{family} daddr {address} meta l4proto {{ tcp, udp }} th dport 53"
                 for family, address in (("ip", NAMESERVER), ("ip6", NAMESERVER6))]
        return "\n".join([
            "table inet dns {", "chain zone { type filter hook output priority raw;", f"meta mark {MARK} accept",
            *(f"{m} ct original zone set {MARK}" for m in match), "}",
            "chain output { type nat hook output priority -100;", f"meta mark {MARK} accept",
            *(f"{m} redirect to :{self.resolver.port}" for m in match), "}", "}", ""])

    def dig(self, *args, server=NAMESERVER):
        return self.laptop.run("dig", f"@{server}", "+tries=1", "+timeout=20", *args, check=False).stdout

    def short(self, *args, **kwargs):
        return self.dig("+short", *args, **kwargs).split()

    def ask(self, message, direct=False, tcp=False, port=0, timeout=20.0):
        """One raw message to the nameserver, past the redirect or through it."""
        with self.laptop.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        with sock:
            if direct:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
            sock.settimeout(timeout)
            sock.bind(("", port))
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
