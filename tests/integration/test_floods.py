# SPDX-License-Identifier: Apache-2.0
"""Many at once through the cluster: connections of the same ports, UDP associations, large datagrams, QUIC and DNS clients."""

import json
import os
import pathlib
import selectors
import subprocess
import time

import pytest

from conftest import LONG, plan, run, wait_for
from nets import echoed, serve_udp
from timing import best_of, took

HERE = pathlib.Path(__file__).parent
REUSE_PORT, UDP_PORT, QUIC_PORT, SILENT_PORT = 7300, 7301, 7302, 7303
WAITING = 10_000
SECONDS = 60 if LONG else 3
# A node's own connections to the pod in the time of one that crosses the cluster and the laptop; 2.5 to 5 are usual.
STRAIGHT_SECONDS, STRAIGHT_MAX = 2, 20
ASSOCIATIONS = 1000
PORTS, FEW = "net.ipv4.ip_local_port_range", 30
# ASSOC_IDLE_MS and the sweep that looks for it.
IDLE_S = 120 + 30


@pytest.fixture(scope="module")
def reuse(tmp_path_factory):
    program = tmp_path_factory.mktemp("reuse") / "reuse"
    run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", program, HERE / "reuse.c"])
    return program


def inside(net, *argv, **kwargs):
    """A program of this machine in a network namespace."""
    return subprocess.Popen([str(word) for word in ("nsenter", f"--net={net.path}", *argv)], start_new_session=True, **kwargs)


def end(process):
    os.killpg(process.pid, 9)
    process.wait()


@pytest.fixture
def reused(connected, cluster, reuse, pod_net):
    """reused(HOW, SECONDS, CLIENTS) is how many connections came and went; all others are counted, too, and there are none."""
    server = inside(pod_net, reuse, "serve", "0.0.0.0", REUSE_PORT, stdout=subprocess.PIPE)
    address = cluster.pod_ip()

    def offer(how, seconds=SECONDS, clients=32):
        argv = [reuse, "connect", address, REUSE_PORT, seconds, 20000, clients, how[0]]
        came = json.loads(connected.run(*argv, timeout=seconds + 60).stdout)
        print(f"{how}: {came['ok'] / seconds:.0f}/s")
        count = came.pop("ok")
        assert came == {"refused": 0, "timed_out": 0, "reset": 0, "mixed_up": 0, "other": 0, "last_error": "Success"}
        return count

    try:
        assert server.stdout.readline() == b"ready\n"
        yield offer
    finally:
        end(server)
        server.stdout.close()


@pytest.fixture
def straight(cluster, reuse, reused):
    """straight(HOW) is how many connections a second a node makes with the pod, with nothing of ours between them."""

    def offer(how):
        argv = [reuse, "connect", cluster.pod_ip(), REUSE_PORT, STRAIGHT_SECONDS, 20000, 32, how[0]]
        node = plan.get(cluster.name).nodes[0].netns
        return json.loads(run(["ip", "netns", "exec", node, *argv], timeout=60).stdout)["ok"] / STRAIGHT_SECONDS

    return offer


@pytest.mark.parametrize("how", ["server ends", "client ends", "reset"])
def test_the_same_ports_again_and_again(connected, reused, straight, how):
    """Whoever ends a connection, by FIN or RST: the next one of the same four numbers is a new one, and none fails.

    And it is as fast as what else runs on this machine leaves it: the same is left to a path without us.
    """
    best_of(lambda: straight(how) / (reused(how) / SECONDS), STRAIGHT_MAX, tries=3)
    wait_for("the end of all", lambda: traffic(connected)["connections_active"] == 0)


@pytest.fixture
def few_ports(cluster):
    """The manager's kernel has these for all its connections; each rests for a minute after one that the laptop has ended."""
    argv = ["nsenter", "-t", cluster.manager_pid(), "-n", "sysctl", "-qw"]
    before = run(["nsenter", "-t", cluster.manager_pid(), "-n", "sysctl", "-n", PORTS]).stdout.split()
    first = 33000
    run([*argv, f"{PORTS}={first} {first + FEW - 1}"])
    yield FEW
    run([*argv, f"{PORTS}={' '.join(before)}"])


def test_more_connections_than_the_manager_has_ports(reused, few_ports):
    assert reused("client ends", 2, 8) > 2 * few_ports


@pytest.fixture
def silent_port(pod_net):
    """A port of the pod whose SYNs vanish."""
    nft = ["nsenter", f"--net={pod_net.path}", "nft"]
    chain = f"chain c {{ type filter hook input priority 0; tcp dport {SILENT_PORT} drop; }}"
    run([*nft, f"table inet silent {{ {chain}; }}"])
    yield SILENT_PORT
    run([*nft, "delete", "table", "inet", "silent"])


# Begins connections, says so, and at the end of its input how many came to anything.
WAIT = """
import resource, select, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count, 2 * count))
poll, socks = select.poll(), [socket.socket() for _ in range(count)]
for sock in socks:
    sock.setblocking(False)
    sock.connect_ex((host, port))
    poll.register(sock, select.POLLOUT)
print("begun", flush=True)
sys.stdin.read()
print(len(poll.poll(0)))
"""


def test_thousands_who_wait_stop_nobody(connected, cluster, silent_port):
    """More than the manager dials at a time: all of them go on waiting, and who can be answered is."""
    argv = ["/usr/bin/python3", "-c", WAIT, cluster.pod_ip(), silent_port, WAITING]
    waiting = connected.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert waiting.stdout.readline() == "begun\n"
        best_of(lambda: took(connected.curl, "http://web.demo/")[0], 1)
        assert waiting.communicate("", timeout=60)[0] == "0\n"
    finally:
        waiting.kill()
        waiting.wait()


def traffic(laptop):
    return laptop.status()["root_daemon"]["traffic"]


def ask_all(socks, patience_s=60):
    """Each gets its own answer; UDP may lose, so who has none yet asks again every second. How many had to."""
    left = {sock: f"association {number}".encode() for number, sock in enumerate(socks)}
    deadline, asked, again = time.monotonic() + patience_s, 0.0, 0
    with selectors.DefaultSelector() as selector:
        for sock, text in left.items():
            selector.register(sock, selectors.EVENT_READ, text)
        while left and time.monotonic() < deadline:
            if time.monotonic() - asked >= 2:
                again += len(left) if asked else 0
                asked = time.monotonic()
                for sock, text in left.items():
                    sock.send(text)
            for key, _ in selector.select(0.1):
                # One that was asked twice may answer twice.
                assert key.fileobj.recv(65536) == b"echo " + left.pop(key.fileobj, key.data)
        assert not left, f"{len(left)} without an answer"
    return again


@pytest.fixture
def associations(connected, cluster, pod_net, laptop_net):
    """A thousand sockets of the laptop's, each connected to the pod, which echoes."""
    pod = cluster.pod_ip()
    with serve_udp(pod_net, "0.0.0.0", UDP_PORT, "echo "):
        socks = [laptop_net.udp() for _ in range(ASSOCIATIONS)]
        try:
            for sock in socks:
                sock.connect((pod, UDP_PORT))
            yield socks
        finally:
            for sock in socks:
                sock.close()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_thousand_udp_associations(connected, cluster, associations):
    before, held = traffic(connected), descriptors(cluster.manager_pid())
    again = ask_all(associations)
    print(f"{again} asked again")
    ask_all(associations)
    now = traffic(connected)
    assert now["datagram_flows"] - before["datagram_flows"] == ASSOCIATIONS
    assert now["datagram_flows_active"] >= ASSOCIATIONS
    assert descriptors(cluster.manager_pid()) >= held + ASSOCIATIONS
    # Each is one of the manager's sockets; they go with the tunnel.
    connected.telepresence("quit")
    wait_for("the manager's sockets to go", lambda: descriptors(cluster.manager_pid()) <= held + 5)


@pytest.mark.long_form
def test_idle_associations_end(connected, cluster, associations):
    held = descriptors(cluster.manager_pid())
    ask_all(associations)
    assert traffic(connected)["datagram_flows_active"] >= ASSOCIATIONS
    wait_for("their end", lambda: traffic(connected)["datagram_flows_active"] == 0, IDLE_S + 30, 1)
    assert descriptors(cluster.manager_pid()) <= held + 5
    # Who speaks again has a new one.
    ask_all(associations)


def test_datagrams_of_every_size(connected, cluster, pod_net, laptop_net):
    """Both ways, whole or not at all; on the laptop and in the cluster in fragments."""
    with serve_udp(pod_net, "0.0.0.0", UDP_PORT, ""), laptop_net.udp(timeout=2) as sock:
        sock.connect((cluster.pod_ip(), UDP_PORT))
        for size in (0, 1, 1472, 1473, 9000, 65507):
            assert echoed(sock, os.urandom(size)), size


def test_a_closed_udp_port_is_refused(connected, cluster, laptop_net):
    """The pod's ICMP is the sender's error, for each socket that asked. A kernel says so only once a second."""
    before, pod = traffic(connected)["udp_port_unreachable_from_cluster"], cluster.pod_ip()
    for _ in range(2):
        with laptop_net.udp(timeout=5) as sock:
            sock.connect((pod, 9))
            with pytest.raises(ConnectionRefusedError):
                for _ in range(5):
                    sock.send(b"anybody?")
                    try:
                        sock.recv(100)
                    except TimeoutError:
                        continue
    assert traffic(connected)["udp_port_unreachable_from_cluster"] >= before + 2


@pytest.fixture
def web3(pod_net, tmp_path):
    """ngtcp2's HTTP/3 server in the pod's network."""
    key, cert, root = tmp_path / "key", tmp_path / "cert", tmp_path / "www"
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=web3", "-keyout", key, "-out", cert])
    root.mkdir()
    (root / "page").write_bytes(os.urandom(1 << 20))
    server = inside(pod_net, "/usr/sbin/gtlsserver", "-q", "-d", root, "0.0.0.0", QUIC_PORT, key, cert, stdout=subprocess.DEVNULL)
    yield root / "page"
    end(server)


def test_quic(connected, cluster, web3, tmp_path):
    """Somebody else's HTTP/3 client and server: a page of 1 MiB comes whole."""
    folder = tmp_path / "got"
    folder.mkdir()
    url = f"https://{cluster.pod_ip()}:{QUIC_PORT}/page"
    argv = ["/usr/bin/gtlsclient", "-q", "--exit-on-all-streams-close", f"--download={folder}", cluster.pod_ip(), QUIC_PORT, url]

    def whole():
        connected.run("timeout", "20", *argv, check=False)
        return (folder / "page").exists() and (folder / "page").read_bytes() == web3.read_bytes()

    wait_for("the page", whole)


def test_dns_clients(connected, cluster):
    """The cluster's DNS server itself, asked by hundreds over UDP, and over TCP."""
    address = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
    names = "\n".join(["web.demo.svc.cluster.local"] * 300)
    for transport in ("+notcp", "+tcp"):
        argv = ["dig", "-f", "-", f"@{address}", "+short", "+tries=5", "+time=5", transport]
        done = subprocess.run(
            [*connected.prefix, *argv], input=names, capture_output=True, text=True, timeout=100, check=True
        )
        # Beside the answers it says what it had to ask again.
        answers = [line for line in done.stdout.splitlines() if not line.startswith(";")]
        assert answers == [cluster.cluster_ip()] * 300
