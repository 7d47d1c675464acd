# SPDX-License-Identifier: Apache-2.0
"""What a connected laptop reaches, and what it sees of what is not there."""

import collections
import concurrent.futures
import errno
import ipaddress
import os
import pathlib
import time
import zlib

import pytest
from conftest import LONG, run
from localcluster import plan
from nets import serve
from timing import best_of, took

# The long form is more than TCP's sequence numbers count.
LARGE_MB = 5000 if LONG else 1000
TRANSFER_S = 900
UPLOAD_PORT = 7330


def test_reaches_service_by_name_and_namespace(online):
    assert online.curl("http://web.demo/").startswith("hello from pod web-")


def test_reaches_service_by_full_name(online):
    assert online.curl("http://web.demo.svc.cluster.local/").startswith("hello from pod web-")
    assert online.curl("http://web.demo.svc/").startswith("hello from pod web-")


def test_reaches_cluster_ip_and_pod_ip(online, cluster):
    assert online.curl(f"http://{cluster.cluster_ip()}/").startswith("hello from pod web-")
    assert online.curl(f"http://{cluster.pod_ip()}:8080/").startswith("hello from pod web-")


CONNECT = "import socket,sys; s=socket.socket(); s.settimeout(20); print(s.connect_ex((sys.argv[1], int(sys.argv[2]))))"


def test_closed_port_of_a_pod_is_refused(online, cluster):
    """Refused by connect(2) itself, not accepted and then closed."""
    address = cluster.pod_ip()

    def attempt(port):
        seconds, done = took(online.run, "/usr/bin/python3", "-c", CONNECT, address, port)
        assert int(done.stdout) == errno.ECONNREFUSED
        return seconds

    best_of(lambda: attempt("9"), 5)
    best_of(lambda: attempt("0"), 5)
    assert online.run("nc", "-z", "-w", "5", cluster.pod_ip(), "9", check=False).returncode == 1


def test_address_without_pod_is_not_accepted(online, cluster):
    unused = cluster.pod_ip().rsplit(".", 1)[0] + ".254"
    done = online.run("curl", "-sS", "--connect-timeout", "4", f"http://{unused}:80/", check=False)
    assert done.returncode in (7, 28), done.stderr


def test_two_hundred_connections_at_once(online, cluster):
    ip = cluster.cluster_ip()
    script = f"for i in $(seq 200); do curl -sS --max-time 60 http://{ip}/ & done; wait"
    out = online.run("sh", "-c", script, timeout=120).stdout
    assert out.count("hello from pod web-") == 200


def test_each_connection_goes_to_a_pod_of_its_own_choice(online, laptop_net, the_stage):
    """As kube-proxy would have it for one within the cluster: of three pods none gets nearly all, or nearly nothing."""
    address = the_stage.cluster.cluster_ip("stage", "web")
    seen = collections.Counter(laptop_net.ask(address, 80) for _ in range(60))
    assert len(seen) == 3 and min(seen.values()) >= 5, seen


def test_absent_cluster_name_does_not_exist(online):
    out = online.run("dig", "+noall", "+comments", "nobody.demo.svc.cluster.local").stdout
    assert "status: NXDOMAIN" in out


def test_dns_over_tcp_and_srv(online):
    out = online.run("dig", "+tcp", "+short", "SRV", "_http._tcp.web.demo.svc.cluster.local").stdout
    assert "80 web.demo.svc.cluster.local." in out


def test_new_service_resolves_and_a_recreated_one_changes(online, cluster):
    manifest = (
        '{"apiVersion":"v1","kind":"Service","metadata":{"name":"late","namespace":"demo"},'
        '"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080}]}}'
    )
    try:
        cluster.apply(manifest)
        assert online.curl("http://late.demo/", "--retry", "8", "--retry-all-errors", "--retry-delay", "1")

        def attempt():
            """The begin of the lookup that was the first to be answered rightly."""
            cluster.kubectl("-n", "demo", "delete", "service", "late")
            cluster.apply(manifest)
            changed = asked = time.monotonic()
            ip = cluster.cluster_ip("demo", "late")
            while online.run("dig", "+short", "late.demo.svc.cluster.local").stdout.strip() != ip:
                asked = time.monotonic()
                assert asked < changed + 60, "the old address is still answered"
            return asked - changed

        best_of(attempt, 1)
    finally:
        cluster.kubectl("-n", "demo", "delete", "service", "late", "--ignore-not-found")


# Of 1 GB in half a second: what is tested has the machine to itself.
CHECKSUM = """
import sys, zlib
seen = 0
while data := sys.stdin.buffer.read(1 << 20):
    seen = zlib.crc32(data, seen)
print(seen)
"""


def say_checksum(connection):
    seen, buffer = 0, bytearray(1 << 20)
    while count := connection.recv_into(buffer):
        seen = zlib.crc32(memoryview(buffer)[:count], seen)
    connection.sendall(f"{seen}\n".encode())


def test_large_transfers_are_intact(online, cluster, pod_net):
    """No block of what is sent is like another one."""
    large = pathlib.Path(pod_net.path).parents[1] / "root/www/large"
    key, checksum = os.urandom(16).hex(), f"/usr/bin/python3 -c '{CHECKSUM}'"
    make = f"openssl enc -aes-128-ctr -K {key} -iv {key} -in /dev/zero 2>/dev/null | head -c {LARGE_MB}M | tee {large}"
    try:
        wanted = run(["sh", "-c", f"{make} | {checksum}"], timeout=TRANSFER_S).stdout
        assert large.stat().st_size == LARGE_MB << 20
        fetch = f"curl -sS http://{cluster.cluster_ip()}/large | {checksum}"
        assert online.run("sh", "-c", fetch, timeout=TRANSFER_S).stdout == wanted
        # Not by the demonstration's web server: busybox takes no more than 2 GiB.
        with serve(pod_net, "0.0.0.0", UPLOAD_PORT, say_checksum):
            upload = f"nc -N {cluster.pod_ip()} {UPLOAD_PORT} <{large}"
            assert online.run("sh", "-c", upload, timeout=TRANSFER_S).stdout == wanted
    finally:
        large.unlink(missing_ok=True)


def test_half_close_passes_through(online, cluster):
    out = online.run(
        "sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 nc -N {cluster.cluster_ip()} 80"
    ).stdout
    assert "hello from pod web-" in out


def test_second_connect_is_a_no_op(online):
    daemons = online.daemons()
    out = online.connect()
    assert "Connected to" in out.stdout + out.stderr
    assert online.daemons() == daemons


def test_parallel_connects_leave_one_pair_of_daemons(laptop):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _: laptop.telepresence("connect", check=False), range(4)):
            assert done.returncode == 0, done.stderr
    assert set(laptop.daemons()) == {"userd", "rootd"}
    assert laptop.curl("http://web.demo/")


FIREWALL = "table inet fw {{ chain c {{ type filter hook {hook} priority 0; {match} ct state new {verdict}; }}; }}"
NO_FIREWALL = "nft delete table inet fw"


def fw(hook, match, verdict):
    return f"nft '{FIREWALL.format(hook=hook, match=match, verdict=verdict)}'"


# What is done to the laptop, how it is undone, and what connect says then.
OBSTACLES = {
    # ufw's default drops the connection that the TUN hands to the laptop's own kernel.
    "in": (fw("input", 'iifname "tel*"', "drop"), NO_FIREWALL, 7, "no connection to it is established", "ufw allow in on tel0"),
    "out": (fw("output", 'oifname "tel*"', "reject"), NO_FIREWALL, 7, "refused by this machine", "ufw allow out on tel0"),
    "lo": ("ip link set lo down", "ip link set lo up", 9, "loopback device lo is down", "ip link set lo up"),
    "rule": ("ip rule add priority 219 to SUBNET prohibit", "ip rule del priority 219", 6, "does not go to the cluster", "ip rule show"),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_keeps_programs_from_the_cluster_is_named(laptop, cluster, what):
    spoil, mend, code, cause, cure = OBSTACLES[what]
    subnet = ipaddress.ip_network(cluster.cluster_ip() + "/16", strict=False)
    laptop.run("sh", "-c", spoil.replace("SUBNET", str(subnet)))
    try:
        done = laptop.telepresence("connect", check=False)
        assert done.returncode == code, done.stderr
        assert cause in done.stderr and cure in done.stderr.splitlines()[-1]
    finally:
        laptop.run("sh", "-c", mend)


def test_reaches_single_label_in_connected_namespace(laptop):
    laptop.connect("--namespace", "demo")
    assert laptop.curl("http://web/").startswith("hello from pod web-")


def test_other_names_resolve_as_before(laptop):
    names = ["www.example.com", "no-such-name.example.com"]
    query = [("dig", "+noall", "+answer", "+comments", "+tries=1", "+time=20", name) for name in names]
    before = [strip_ids(laptop.run(*q).stdout) for q in query]
    getent = laptop.run("getent", "hosts", "www.example.com").stdout
    laptop.connect()
    assert [strip_ids(laptop.run(*q).stdout) for q in query] == before
    assert laptop.run("getent", "hosts", "www.example.com").stdout == getent
    assert laptop.curl("http://www.example.com/")


def strip_ids(text):
    """What dig prints without the query's random id."""
    return [line.split(", id: ")[0] for line in text.splitlines()]


def test_api_server_gateway_and_resolver_stay_off_the_tunnel(laptop, cluster):
    """Though the API server is within what is to be routed."""
    the_plan = plan.get(cluster.name)
    laptop.connect("--also-proxy", the_plan.node_nets[0])
    device = laptop.status()["root_daemon"]["device"]

    def goes_by(address):
        return laptop.run("ip", "-o", "route", "get", address).stdout.split(" dev ")[1].split()[0]

    resolver = laptop.run("awk", "/^nameserver/{print $2; exit}", "/etc/resolv.conf").stdout.strip()
    gateway = laptop.run("sh", "-c", "ip -4 route show default").stdout.split()[2]
    server, *others = (node.addresses[0] for node in the_plan.nodes)
    assert {goes_by(str(one)) for one in (server, resolver, gateway)} == {"eth0"}
    assert {goes_by(str(one)) for one in (*others, cluster.cluster_ip(), cluster.pod_ip())} == {device}
    assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
