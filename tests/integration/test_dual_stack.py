# SPDX-License-Identifier: Apache-2.0
"""A dual-stack cluster from the laptop: IPv6 names, Services and pods, and laptops with one family, the other, or both."""

import contextlib
import errno
import ipaddress
import json
import pathlib
import re
import socket
import struct

import pytest

from conftest import run, wait_for
from localcluster import plan, workloads
from nets import Net, pid_of, serve_udp

NAMESPACE = "dual"
UDP_PORT, CLOSED_PORT = 7100, 9


def service(name, families, policy, selector="web"):
    made = workloads.service(NAMESPACE, name, 80, 8080)
    made["spec"] |= {"selector": {"app": selector}, "ipFamilies": families, "ipFamilyPolicy": policy}
    made["spec"]["ports"] = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "udp", "port": UDP_PORT, "targetPort": UDP_PORT, "protocol": "UDP"},
    ]
    return made


@pytest.fixture(scope="module")
def pod(cluster):
    """A web server with a Service of both families, one of IPv6 alone, and one that has no pod."""
    script = "mkdir -p /www; echo dual >/www/index.html; exec httpd -f -p 8080 -h /www"
    one = workloads.container("web", 8080, command=["sh", "-c", script])
    services = [
        service("both", ["IPv4", "IPv6"], "RequireDualStack"),
        service("only6", ["IPv6"], "SingleStack"),
        service("nobody", ["IPv4", "IPv6"], "RequireDualStack", "nobody"),
    ]
    cluster.apply(workloads.listed(workloads.namespace(NAMESPACE), workloads.pod(NAMESPACE, one), *services))
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    yield cluster.get("pod", "-n", NAMESPACE, "web")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def net(cluster):
    return Net(f"/run/netns/{plan.get(cluster.name).netns('laptop')}")


def pod_ips(pod):
    """By family."""
    found = [ipaddress.ip_address(one["ip"]) for one in pod["status"]["podIPs"]]
    return {address.version: str(address) for address in found}


def service_ips(cluster, name):
    found = cluster.get("service", "-n", NAMESPACE, name)["spec"]["clusterIPs"]
    return {ipaddress.ip_address(one).version: one for one in found}


def ask(laptop, name, kind):
    """What a program gets: the records of one type, without error."""
    text = laptop.run("dig", "+noall", "+comments", "+answer", f"{name}.{NAMESPACE}.svc.cluster.local", kind).stdout
    assert "status: NOERROR" in text
    return [line.split()[-1] for line in text.splitlines() if line and line[0] != ";"]


def found(laptop, name):
    lines = laptop.run("getent", "ahosts", name, check=False).stdout.splitlines()
    return sorted({line.split()[0] for line in lines})


def get(laptop, url, *args):
    return laptop.run("curl", "-sS", "-g", "--max-time", "10", *args, url, check=False).stdout


def url_of(address, port=80):
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def ask_udp(net, address, port, data):
    """The answer, or the name of what went wrong."""
    with net.udp(5, socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.connect((address, port))
        try:
            for _ in range(2):
                sock.send(data)
                got = sock.recv(65536)
        except OSError as error:
            return type(error).__name__
        return got


def test_names(connected, cluster, pod):
    both, only6 = service_ips(cluster, "both"), service_ips(cluster, "only6")
    assert (ask(connected, "both", "A"), ask(connected, "both", "AAAA")) == ([both[4]], [both[6]])
    assert (ask(connected, "only6", "A"), ask(connected, "only6", "AAAA")) == ([], [only6[6]])
    assert found(connected, f"both.{NAMESPACE}") == sorted(both.values())
    assert found(connected, f"only6.{NAMESPACE}") == [only6[6]]
    for address in both.values():
        text = connected.run("dig", "-x", address).stdout
        assert re.search(rf"\sPTR\s+both\.{NAMESPACE}\.svc\.cluster\.local\.$", text, re.MULTILINE), text


@pytest.mark.parametrize("family", [4, 6])
def test_traffic(connected, cluster, pod, net, family):
    """TCP, UDP and echo, to the pod and by the Service; what is closed or has nobody says so."""
    address, both, nobody = pod_ips(pod)[family], service_ips(cluster, "both")[family], service_ips(cluster, "nobody")[family]
    assert get(connected, url_of(address, 8080)) == get(connected, url_of(both)) == "dual\n"
    assert get(connected, f"http://both.{NAMESPACE}/", f"-{family}") == "dual\n"
    inside = Net(f"/proc/{pid_of(pod['metadata']['uid'], 'httpd')}/ns/net")
    with serve_udp(inside, "::" if family == 6 else "0.0.0.0", UDP_PORT, "echo "):
        for to in (address, both):
            assert ask_udp(net, to, UDP_PORT, b"hello") == b"echo hello"
        assert ask_udp(net, address, UDP_PORT, bytes(9000)) == b"echo " + bytes(9000)
    assert "3 received" in connected.run("ping", "-c", "3", "-i", "0.2", "-W", "5", address).stdout
    largest = "65507" if family == 4 else "65527"
    assert "1 received" in connected.run("ping", "-c", "1", "-W", "10", "-s", largest, address).stdout
    with pytest.raises(ConnectionRefusedError):
        net.connect(address, CLOSED_PORT)
    with pytest.raises(ConnectionRefusedError):
        net.connect(nobody, 80)
    assert ask_udp(net, address, CLOSED_PORT, b"hello") == "ConnectionRefusedError"
    assert connected.status()["root_daemon"]["traffic"]["udp_port_unreachable_from_cluster"] > 0


# By port of the pod, what a packet filter there says: its word, and code and error on the laptop by family.
REJECTS = {
    7201: ("host-unreachable", {4: (1, errno.EHOSTUNREACH), 6: (3, errno.EHOSTUNREACH)}),
    7202: ("no-route", {4: (0, errno.ENETUNREACH), 6: (0, errno.ENETUNREACH)}),
    7203: ("admin-prohibited", {4: (13, errno.EHOSTUNREACH), 6: (1, errno.EACCES)}),
    7204: ("port-unreachable", {4: (3, errno.ECONNREFUSED), 6: (4, errno.ECONNREFUSED)}),
}


@pytest.fixture
def rejecting(pod):
    """The pod refuses some ports, each for a reason of its own."""
    inside = ["nsenter", f"--net=/proc/{pid_of(pod['metadata']['uid'], 'httpd')}/ns/net"]
    nft, limits = [*inside, "nft"], ("net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit")
    rules = [f"meta l4proto {{ tcp, udp }} th dport {port} reject with icmpx {word}" for port, (word, _) in REJECTS.items()]
    run([*nft, "add table inet reasons; add chain inet reasons in { type filter hook input priority 0; }"])
    run([*nft, "; ".join(f"add rule inet reasons in {rule}" for rule in rules)])
    # Six at once would be all that it says within a second.
    run([*inside, "sysctl", "-qw", *(f"{limit}=0" for limit in limits)])
    yield
    run([*inside, "sysctl", "-qw", *(f"{limit}=1000" for limit in limits)])
    run([*nft, "delete table inet reasons"])


def icmp_code(net, address, port, family):
    """Of the error about a datagram, by the socket's error queue."""
    with net.udp(20, socket.AF_INET6 if family == 6 else socket.AF_INET) as sock:
        sock.setsockopt(*((socket.IPPROTO_IPV6, 25) if family == 6 else (socket.IPPROTO_IP, 11)), 1)  # IP_RECVERR
        sock.connect((address, port))
        sock.send(b"hello")
        with contextlib.suppress(OSError):
            sock.recv(100)
        (_, _, data), *_ = sock.recvmsg(100, 512, socket.MSG_ERRQUEUE)[1]
        return struct.unpack_from("=IBBB", data)[3]


@pytest.mark.parametrize("family", [4, 6])
def test_reasons_stay_distinct(connected, pod, net, rejecting, family):
    """What ICMP says in the cluster it says on the laptop, about datagrams and connections."""
    address = pod_ips(pod)[family]
    for port, (word, by_family) in REJECTS.items():
        code, error = by_family[family]
        assert icmp_code(net, address, port, family) == code, word
        with pytest.raises(OSError) as caught:
            net.connect(address, port)
        assert caught.value.errno == error, word


def test_a_service_address_answers_echo_as_it_does_in_the_cluster(connected, cluster, pod):
    """Which kube-proxy decides: the laptop sees what a node sees."""
    for family in (4, 6):
        argv = ["ping", "-c", "1", "-W", "2", service_ips(cluster, "both")[family]]
        node = run(["ip", "netns", "exec", plan.get(cluster.name).nodes[0].netns, *argv], check=False)
        assert connected.run(*argv, check=False).returncode == node.returncode, (family, node.stdout)


def addresses(laptop, family):
    """The laptop's own on its LAN, with prefix length, and its default gateway."""
    text = laptop.run("ip", "-j", f"-{family}", "addr", "show", "dev", "eth0", "scope", "global").stdout
    infos = [one for device in json.loads(text) for one in device.get("addr_info", []) if "local" in one]
    found = [f"{one['local']}/{one['prefixlen']}" for one in infos]
    (gateway,) = {one["gateway"] for one in json.loads(laptop.run("ip", "-j", f"-{family}", "route", "show", "default").stdout)}
    return found, gateway


@contextlib.contextmanager
def without(laptop, family):
    """The laptop's LAN has only the other family."""
    own, gateway = addresses(laptop, family)
    laptop.run("ip", f"-{family}", "addr", "flush", "dev", "eth0", "scope", "global")
    try:
        yield
    finally:
        laptop.stop()
        for one in own:
            laptop.run("ip", "addr", "add", one, "dev", "eth0")
        laptop.run("ip", f"-{family}", "route", "replace", "default", "via", gateway)


def test_a_lan_of_ipv4_alone(laptop, cluster, pod):
    """The cluster's IPv6 is there all the same: through the tunnel it needs none of the LAN's."""
    with without(laptop, 6):
        laptop.connect()
        assert found(laptop, f"both.{NAMESPACE}") == sorted(service_ips(cluster, "both").values())
        for host in (f"only6.{NAMESPACE}", f"both.{NAMESPACE}", f"[{pod_ips(pod)[6]}]:8080"):
            assert get(laptop, f"http://{host}/") == "dual\n", host
        assert laptop.run("getent", "hosts", "www.example.com").stdout


def test_a_kernel_without_ipv6(laptop, cluster, pod):
    """Where IPv6 is off by sysctl no address of it can be had: names and Services by IPv4."""
    settings = [f"net.ipv6.conf.{name}.disable_ipv6" for name in ("all", "default")]
    with without(laptop, 6):
        laptop.run("sysctl", "-qw", *(f"{one}=1" for one in settings))
        try:
            laptop.connect()
            for host in (f"both.{NAMESPACE}", f"{pod_ips(pod)[4]}:8080"):
                assert get(laptop, f"http://{host}/") == "dual\n", host
            status = laptop.status()
            assert status["user_daemon"]["status"] == "Connected"
            assert not any(":" in subnet for subnet in status["root_daemon"]["subnets"])
            assert laptop.run("ip", "-6", "addr").stdout == ""
            laptop.stop()
        finally:
            laptop.run("sysctl", "-qw", *(f"{one}=0" for one in settings))


@pytest.fixture
def by_ipv6(laptop, cluster, tmp_path):
    """A kubeconfig whose server is an IPv6 address, which the router lets through."""
    the_plan = plan.get(cluster.name)
    address = str(the_plan.nodes[0].addresses[1])
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"]["server"] = f"https://[{address}]:6443"
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    router = ["ip", "netns", "exec", the_plan.netns("wan"), "nft"]
    rule = ["insert", "rule", "inet", "router", "forward", "iifname", "lan", "ip6", "daddr", address, "tcp", "dport", "6443"]
    handle = run([*router, "-e", "-a", *rule, "accept"]).stdout.rsplit("handle ", 1)[1].split()[0]
    yield path, address
    laptop.stop()
    run([*router, "delete", "rule", "inet", "router", "forward", "handle", handle])


def test_a_lan_of_ipv6_alone(laptop, cluster, pod, by_ipv6):
    """The carrier, the nameserver and the names of others go by IPv6; the cluster has both families."""
    kubeconfig, _ = by_ipv6
    the_plan = plan.get(cluster.name)
    resolv_conf = pathlib.Path("/etc/netns") / the_plan.netns("laptop") / "resolv.conf"
    before = resolv_conf.read_text()
    resolv_conf.write_text(f"nameserver {the_plan.lan_nets[1][1]}\n")
    try:
        with without(laptop, 4):
            laptop.connect("--kubeconfig", kubeconfig)
            for host in (f"only6.{NAMESPACE}", f"{pod_ips(pod)[4]}:8080", f"[{pod_ips(pod)[6]}]:8080"):
                assert get(laptop, f"http://{host}/") == "dual\n", host
            assert found(laptop, f"both.{NAMESPACE}") == sorted(service_ips(cluster, "both").values())
            assert laptop.run("getent", "ahosts", "www.example.com").stdout
    finally:
        resolv_conf.write_text(before)


def test_the_carrier_is_not_routed_into_itself(laptop, cluster, pod, by_ipv6):
    """The API server within a range that is routed to the cluster, by IPv6."""
    kubeconfig, address = by_ipv6
    laptop.connect("--kubeconfig", kubeconfig, "--also-proxy", plan.get(cluster.name).node_nets[1])
    device = laptop.status()["root_daemon"]["device"]

    def device_to(target):
        return laptop.run("ip", "-6", "route", "get", target).stdout.split(" dev ")[1].split()[0]

    other = str(plan.get(cluster.name).nodes[1].addresses[1])
    assert (device_to(address), device_to(other)) == ("eth0", device)
    assert get(laptop, f"http://only6.{NAMESPACE}/") == "dual\n"
    wait_for("a round trip", lambda: laptop.status()["traffic_manager"]["rtt_us"] > 0, 5)
