# SPDX-License-Identifier: Apache-2.0
"""What happens to the path between laptop and cluster while connected: other routes, sleep, small packets."""

import contextlib
import ipaddress
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import LONG, plan, run, wait_for
from nets import echoed, serve_udp
from timing import best_of, took

# At each line of its input: how long it takes, in ms, until the name is found, and until the answer is there.
ASK = """
import socket, sys, time
for line in sys.stdin:
    began, found = time.monotonic(), None
    while True:
        try:
            address = socket.getaddrinfo("web.demo.svc", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4]
            found = found or time.monotonic()
            with socket.create_connection(address, timeout=10) as sock:
                sock.sendall(b"GET / HTTP/1.0\\r\\nHost: web\\r\\n\\r\\n")
                if sock.recv(1000).startswith(b"HTTP/1"):
                    break
        except OSError:
            time.sleep(0.02)
    print(int(1000 * (found - began)), int(1000 * (time.monotonic() - began)), flush=True)
"""
MTU, OTHER_MTUS = 1280, (1300, 1400, 1420, 1492)
UDP_PORT = 7320
# Of routes that a rule leads to, and that rule's priority.
TABLE = "220"
# What changes on the laptop while connected is seen by then.
FOLLOWED = 5


@pytest.fixture
def asker(laptop):
    process = laptop.popen("/usr/bin/python3", "-c", ASK, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return [int(word) for word in process.stdout.readline().split()]

    yield ask
    process.stdin.close()
    process.wait(60)


@contextlib.contextmanager
def small_path(laptop, cluster):
    """Between laptop and API server nothing larger than MTU passes, and nobody says so; narrow(ANOTHER) makes it that."""
    the_plan = plan.get(cluster.name)
    router, node = the_plan.netns("wan"), the_plan.nodes[0].netns
    address = laptop.run("ip", "-4", "-o", "addr", "show", "eth0").stdout.split()[3].split("/")[0]
    route = run(["ip", "-n", node, "-o", "route", "get", address]).stdout
    ends = [(the_plan.netns("laptop"), "eth0"), (node, re.search(r"dev (\S+)", route)[1])]
    # Each packet as it would be on a wire: no segmentation later than in TCP itself.
    try:
        for netns, device in ends:
            run(["ip", "netns", "exec", netns, "ethtool", "-K", device, "tso", "off", "gso", "off"])

        def narrow(mtu):
            rule = f"chain c {{ type filter hook forward priority 0; meta length > {mtu} counter drop; }}"
            run(["ip", "netns", "exec", router, "nft", f"table inet small; delete table inet small; table inet small {{ {rule}; }}"])

        narrow(MTU)
        yield narrow
    finally:
        run(["ip", "netns", "exec", router, "nft", "delete", "table", "inet", "small"], check=False)
        for netns, device in ends:
            run(["ip", "netns", "exec", netns, "ethtool", "-K", device, "tso", "on", "gso", "on"])


def test_sleep(laptop, asker):
    """Both daemons stand still, as with a lid closed; then the first name and the first connection."""
    laptop.connect()
    asker()
    daemons = laptop.daemons().values()

    def attempt():
        try:
            for pid in daemons:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(60 if LONG else 8)
        finally:
            for pid in daemons:
                os.kill(pid, signal.SIGCONT)
        found, answered = asker()
        print(f"after the sleep: name {found} ms, answer {answered} ms")
        return answered / 1000

    best_of(attempt, 1, tries=3)
    assert set(laptop.daemons().values()) == set(daemons)


def test_small_packets_without_icmp(laptop, cluster, pod_net, laptop_net):
    """A path that swallows what is too large: bulk and large datagrams go on both ways, before and after a new connect."""
    url, kept = f"http://{cluster.cluster_ip()}", f"/dev/shm/{cluster.name}-small"
    pod = cluster.pods("demo", "web")[0]["metadata"]["name"]
    make = "dd if=/dev/urandom of=/www/small bs=1M count=4 2>/dev/null; md5sum /www/small"
    checksum = cluster.kubectl("-n", "demo", "exec", pod, "--", "sh", "-c", make).split()[0]
    shell = f"curl -sS --max-time 50 {url}/small | tee {kept} | md5sum; curl -sS --max-time 50 -H Expect: " + (
        f"-X POST -T {kept} {url}/cgi-bin/md5"
    )

    def passes(*sizes):
        down, up = [line.split()[0] for line in laptop.run("sh", "-c", shell).stdout.splitlines()[:2]]
        assert (down, up) == (checksum, checksum)
        with serve_udp(pod_net, "0.0.0.0", UDP_PORT, ""), laptop_net.udp(timeout=2) as sock:
            sock.connect((cluster.pod_ip(), UDP_PORT))
            assert all(echoed(sock, os.urandom(size)) for size in sizes)

    laptop.connect()
    try:
        with small_path(laptop, cluster) as narrow:
            for _ in range(2):
                passes(1200, 9000, 65507)
                laptop.telepresence("quit")
                laptop.connect()
            for mtu in OTHER_MTUS:
                narrow(mtu)
                passes(mtu - 28, mtu - 27)
    finally:
        laptop.run("rm", "-f", kept)
        cluster.kubectl("-n", "demo", "exec", pod, "--", "rm", "-f", "/www/small")


def test_status_names_conflicts(laptop):
    """A VPN that comes later and takes a part of the cluster's subnets: said by name, and over when it goes."""
    laptop.connect()
    assert "Conflicts" not in laptop.telepresence("status").stdout
    subnet = next(s for s in laptop.status()["root_daemon"]["subnets"] if ipaddress.ip_network(s).version == 4)
    half = next(ipaddress.ip_network(subnet).subnets())

    def conflicts():
        return laptop.status()["root_daemon"]["conflicts"]

    def attempt(kind, what, named):
        """The longer one of coming and going."""
        laptop.run("ip", kind, "add", *what)
        try:
            come, conflict = took(wait_for, "the conflict", conflicts)
            assert conflict == [{"subnet": subnet, "route": named}]
            text = laptop.telepresence("status").stdout
            assert "Conflicts         : (1 not routed to the cluster)" in text
            assert f"    - {subnet} has the route {named}\n" in text
        finally:
            laptop.run("ip", kind, "del", *what)
        return max(come, took(wait_for, "its end", lambda: not conflicts())[0])

    laptop.run("ip", "route", "add", "default", "dev", "eth0", "table", TABLE)
    try:
        for kind, what, named in (
            ("route", [half, "dev", "eth0"], f"{half} dev eth0"),
            ("route", [subnet, "dev", "eth0"], f"{subnet} dev eth0"),
            ("rule", ["to", subnet, "priority", TABLE, "lookup", TABLE], "dev eth0 by a routing rule (ip rule)"),
        ):
            best_of(lambda this=(kind, what, named): attempt(*this), FOLLOWED, tries=3)
    finally:
        laptop.run("ip", "route", "flush", "table", TABLE)
    assert "Conflicts" not in laptop.telepresence("status").stdout


def test_other_nameserver(laptop, cluster):
    """Another network, or a VPN, brings another nameserver: names go on, the cluster's and all others."""

    def found(name):
        return bool(laptop.run("getent", "ahosts", name, check=False).stdout)

    def nameserver():
        return laptop.status()["root_daemon"]["dns"]["remote_ip"]

    laptop.connect()
    the_plan = plan.get(cluster.name)
    path = pathlib.Path("/etc/netns") / the_plan.netns("laptop") / "resolv.conf"
    before, old, new = path.read_text(), nameserver(), str(the_plan.lan_nets[1][1])

    def follows(text, address):
        path.write_text(text)
        seconds, _ = took(wait_for, "the other nameserver", lambda: nameserver() == address)
        assert found("web.demo") and found("www.example.com")
        return seconds

    try:
        best_of(lambda: max(follows(f"nameserver {new}\n", new), follows(before, old)), FOLLOWED, tries=3)
    finally:
        path.write_text(before)
