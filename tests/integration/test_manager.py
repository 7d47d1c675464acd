# SPDX-License-Identifier: Apache-2.0
"""The traffic-manager in a pod of a real cluster, spoken to over its tunnel by a probe on the node."""

import datetime
import itertools
import json
import socket
import struct
import time

import dnswire
import pytest
from agents import Process
from conftest import ROOT, plan, run, wait_for
from timing import best_of, took
from tunnelprobe import TunnelProbe, capsule, capsules

NAMESPACE = "ambassador"
PORT = 8081


@pytest.fixture(scope="module")
def manager(cluster):
    """The pod of a manager from k8s/, as `kubectl apply -k` installs it."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", ROOT / "k8s")
    cluster.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/traffic-manager", "--timeout=60s")
    yield cluster.manager_pod()
    cluster.kubectl("delete", "-k", ROOT / "k8s", "--ignore-not-found", timeout=120)


@pytest.fixture
def node(cluster):
    """A prefix that runs a command on the node, which reaches every pod."""
    return ["ip", "netns", "exec", plan.get(cluster.name).nodes[0].netns]


class Sessions:
    def __init__(self, cluster, product, node):
        self.cluster = cluster
        self.argv = [*node, product / "tests/netns/tunnelprobe"]
        self.probes = []
        self.names = []
        self.me = json.loads(self.cluster.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]

    def probe(self):
        ip = self.cluster.manager_pod()["status"]["podIP"]
        probe = TunnelProbe([*self.argv, ip, PORT])
        self.probes.append(probe)
        return probe

    def create(self, probe, ttl=60):
        name = f"probe-{time.monotonic_ns()}"
        body = {
            "apiVersion": "telepresence.io/v1alpha1",
            "kind": "Session",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"owner": self.me, "publicKey": probe.public_key, "ttlSeconds": ttl},
        }
        self.cluster.kubectl_input(["create", "-f", "-"], json.dumps(body))
        self.names.append(name)
        return self.get(name)

    def get(self, name):
        return self.cluster.get("session", "-n", NAMESPACE, name)

    def exists(self, name):
        items = self.cluster.get("sessions.telepresence.io", "-n", NAMESPACE)["items"]
        return any(one["metadata"]["name"] == name for one in items)

    def delete(self, name):
        self.cluster.kubectl("delete", "session", "-n", NAMESPACE, name, "--ignore-not-found")

    def connect(self, ttl=60):
        probe = self.probe()
        session = self.create(probe, ttl)
        probe.open(session["metadata"]["uid"])
        assert probe.ready, probe.closed
        probe.name = session["metadata"]["name"]
        return probe


@pytest.fixture
def sessions(cluster, manager, product, node):
    made = Sessions(cluster, product, node)
    yield made
    for probe in made.probes:
        probe.stop()
    for name in made.names:
        made.delete(name)


def test_health_and_readiness(cluster, manager, node):
    ip = cluster.manager_pod()["status"]["podIP"]
    code = [*node, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5"]
    assert run([*code, f"http://{ip}:{PORT}/healthz"]).stdout == "200"
    assert run([*code, f"http://{ip}:{PORT}/readyz"]).stdout == "200"
    assert run([*code, f"http://{ip}:{PORT}/v1/cluster"]).stdout == "404"


def test_runs_as_nobody_and_is_small(cluster, manager):
    pid = cluster.manager_pid()
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    assert status["Uid"].split()[0] == "65532"
    assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # Idle: once what only starting up needed is given back.
    wait_for("8 MB", lambda: Process(pid).resident_kb() <= 8192)


def test_proof_is_needed(sessions):
    first, second = sessions.probe(), sessions.probe()
    uid = sessions.create(first)["metadata"]["uid"]
    second.open(uid)
    assert not second.ready and "no such session" in second.closed
    first.open(uid)
    assert first.ready
    third = sessions.probe()
    third.open("00000000-0000-0000-0000-000000000000")
    assert not third.ready and "no such session" in third.closed


def test_version_and_unknown_requests(sessions):
    probe = sessions.connect()
    answer = probe.request("GET", "/v1/version", "manager")
    assert answer.status == 200 and json.loads(answer.data)["name"] == "traffic-manager"
    assert probe.request("GET", "/nothing", "manager").status == 404
    assert probe.request("POST", "/v1/version", "manager").status == 405


def test_connect_reaches_a_pod_by_address_and_name(sessions, cluster):
    probe = sessions.connect()
    query = b"GET / HTTP/1.0\r\nHost: web\r\n\r\n"
    for authority in (f"{cluster.pod_ip()}:8080", f"{cluster.cluster_ip()}:80", "web.demo:80"):
        answer = probe.request("CONNECT", authority=authority, payload=query)
        assert answer.status == 200 and b"hello from pod web-" in answer.data, authority
        assert answer.ended and answer.code == 0


def test_connect_says_why_not(sessions, cluster):
    probe = sessions.connect()
    manager_ip = cluster.manager_pod()["status"]["podIP"]
    for authority, status, reason in (
        (f"{cluster.pod_ip()}:9", 502, "refused"),
        ("no-such-name.demo.svc.cluster.local:80", 502, "name-not-found"),
        ("127.0.0.1:8081", 403, "forbidden"),
        ("[::1]:8081", 403, "forbidden"),
        ("169.254.169.254:80", 403, "forbidden"),
        (f"{manager_ip}:{PORT}", 403, "forbidden"),
        ("127.1:80", 400, ""),
        ("nonsense", 400, ""),
    ):
        answer = probe.request("CONNECT", authority=authority)
        assert (answer.reason, answer.data) == (reason, b""), authority
        assert answer.status == status, authority


def test_connect_is_answered_only_when_connected(sessions, cluster):
    """A dial of an address that swallows SYNs stays open, and is given up at once when the stream is reset."""
    probe = sessions.connect()
    silent = cluster.pod_ip().rsplit(".", 1)[0] + ".254"
    streams = [probe.start("CONNECT", authority=f"{silent}:80", fin=False) for _ in range(20)]
    wait_for("dials", lambda: dials_to(cluster, silent) == 20)
    assert all(stream.status is None for stream in streams)
    for stream in streams:
        probe.reset(stream)
    wait_for("sockets closed", lambda: dials_to(cluster, silent) == 0)


def dials_to(cluster, address):
    """The manager's connections to port 80 of an address that are not answered yet."""
    remote = f"{struct.unpack('=I', socket.inet_aton(address))[0]:08X}:0050"
    rows = [line.split() for line in open(f"/proc/{cluster.manager_pid()}/net/tcp").read().splitlines()[1:]]
    return sum(row[2] == remote and row[3] == "02" for row in rows)  # SYN_SENT


def dns_question(name, kind=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def doh(probe, message, content_type="application/dns-message"):
    return probe.request("POST", "/dns-query", "manager", content_type=content_type, payload=message)


def test_dns(sessions, cluster):
    probe = sessions.connect()
    answer = doh(probe, dns_question("web.demo.svc.cluster.local"))
    assert answer.status == 200
    ident, flags, _, count = struct.unpack("!4H", answer.data[:8])
    assert ident == 0x1234 and flags & 0x800F == 0x8000 and count == 1
    assert answer.data.endswith(socket.inet_aton(cluster.cluster_ip()))
    missing = doh(probe, dns_question("nothing.demo.svc.cluster.local"))
    assert missing.status == 200 and struct.unpack("!H", missing.data[2:4])[0] & 0xF == 3
    assert doh(probe, b"short").status == 400
    assert doh(probe, b"x" * 65536).status == 413
    assert doh(probe, dns_question("web.demo"), "text/plain").status == 415


def test_names_of_services_are_as_the_nameserver_says(sessions, cluster, node):
    """The manager answers what it watches itself, and nobody sees a difference to CoreDNS."""

    def neutral(message):
        """Without what no two answers have in common: the zone's serial, what is left of a TTL, who asked it first."""
        flags, question, *sections = dnswire.parse(message)
        for records in sections:
            for i, (name, kind, rclass, ttl, value) in enumerate(records):
                value = value[:2] + value[3:] if kind == dnswire.TYPES["SOA"] else value
                records[i] = (name.lower(), kind, rclass, ttl if kind == dnswire.OPT else 0 < ttl <= 5, value)
        return flags, question, sections

    probe = sessions.connect()
    server = cluster.cluster_ip("kube-system", "kube-dns")
    names = [f"{name}.svc.cluster.local" for name in ("web.demo", "WEB.Demo", "kubernetes.default", "nothing.demo")]
    questions = list(itertools.product(names, ("A", "AAAA", "TXT"), (None, 1232)))
    messages = [dnswire.query(*question) for question in questions]
    direct = run([*node, "/usr/bin/python3", "-c", dnswire.ASK, server, *(one.hex() for one in messages)]).stdout.split()
    for question, message, theirs in zip(questions, messages, direct, strict=True):
        answer = doh(probe, message)
        assert answer.status == 200 and answer.data[:2] == message[:2]
        assert neutral(answer.data) == neutral(bytes.fromhex(theirs)), question


def test_changes_of_names_are_told(sessions, cluster):
    probe = sessions.connect()
    stream = probe.start("GET", "/v1/names", "manager")
    probe.wait(lambda: stream.lines)
    assert stream.lines[0] == {"changed": "*"}
    manifest = (
        '{"apiVersion":"v1","kind":"Service","metadata":{"name":"NAME","namespace":"demo"},"spec":{"ports":[{"port":80}]}}'
    )
    try:
        cluster.apply(manifest.replace("NAME", "told"))
        probe.wait(lambda: {"changed": "told.demo"} in stream.lines)
        answer = doh(probe, dns_question("told.demo.svc.cluster.local"))
        assert answer.data.endswith(socket.inet_aton(cluster.cluster_ip("demo", "told")))
    finally:
        cluster.kubectl("-n", "demo", "delete", "service", "told", "--ignore-not-found")
    probe.wait(lambda: stream.lines.count({"changed": "told.demo"}) == 2)


def test_description_of_the_cluster(sessions, cluster):
    probe = sessions.connect()
    stream = probe.start("GET", "/v1/cluster", "manager")
    probe.wait(lambda: stream.lines)
    first = stream.lines[0]
    services = [c for item in cluster.get("servicecidr")["items"] for c in item["spec"]["cidrs"]]
    pods = [c for item in cluster.get("nodes")["items"] for c in item["spec"]["podCIDRs"]]
    assert first["serviceSubnets"] == sorted(services)
    assert first["podSubnets"] == sorted(pods)
    assert first["clusterDomain"] == "cluster.local"
    assert first["dnsServer"] == cluster.cluster_ip("kube-system", "kube-dns")
    assert "demo" in first["namespaces"] and NAMESPACE in first["namespaces"]
    assert cluster.cluster_ip("default", "kubernetes") in first["apiServer"] and len(first["apiServer"]) > 1
    cluster.kubectl("create", "namespace", "probe-new")
    try:
        probe.wait(lambda: "probe-new" in stream.lines[-1]["namespaces"])
        assert "probe-new" not in first["namespaces"]
    finally:
        cluster.kubectl("delete", "namespace", "probe-new", timeout=60)
    probe.wait(lambda: "probe-new" not in stream.lines[-1]["namespaces"])
    probe.reset(stream)


def test_udp(sessions, cluster):
    probe = sessions.connect()
    dns = cluster.cluster_ip("kube-system", "kube-dns")
    path = f"/.well-known/masque/udp/{dns}/53/"
    question = dns_question("web.demo.svc.cluster.local")
    stream = probe.start("CONNECT", path, "manager", "connect-udp", payload=capsule(question) * 2, fin=False)
    probe.wait(lambda: len(capsules(stream.data)) == 2)
    assert stream.status == 200
    for answer in capsules(stream.data):
        assert answer.endswith(socket.inet_aton(cluster.cluster_ip()))
    probe.reset(stream)
    # A closed port of a pod: the reset is what becomes an ICMP error on the laptop.
    path = f"/.well-known/masque/udp/{cluster.pod_ip()}/9/"
    refused = probe.start("CONNECT", path, "manager", "connect-udp", payload=capsule(b"x"), fin=False)
    assert probe.finish(refused).code == 0xA  # CONNECT_ERROR
    path = "/.well-known/masque/udp/127.0.0.1/53/"
    assert probe.request("CONNECT", path, "manager", "connect-udp").reason == "forbidden"


def test_icmp_echo(sessions, cluster):
    probe = sessions.connect()
    message = struct.pack("!HH", 0xBEEF, 7) + b"payload"
    path = f"/.well-known/telepresence/icmp/{cluster.pod_ip()}/"
    stream = probe.start("CONNECT", path, "manager", "telepresence-icmp", payload=capsule(message), fin=False)
    probe.wait(lambda: capsules(stream.data))
    assert capsules(stream.data) == [message]
    probe.reset(stream)
    unused = cluster.pod_ip().rsplit(".", 1)[0] + ".254"
    path = f"/.well-known/telepresence/icmp/{unused}/"
    silent = probe.start("CONNECT", path, "manager", "telepresence-icmp", payload=capsule(message), fin=False)
    # Nobody there: no reply is made up. A request that does answer afterwards bounds the wait.
    assert probe.request("GET", "/v1/version", "manager").status == 200
    assert capsules(silent.data) == []


def test_status_follows_the_tunnel(sessions):
    probe = sessions.connect()

    def condition():
        status = sessions.get(probe.name).get("status", {})
        return next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {"status": None})

    wait_for("Ready", lambda: condition()["status"] == "True")
    status = sessions.get(probe.name)["status"]
    assert status["carriers"] == 1
    seen = datetime.datetime.strptime(status["lastSeen"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs((datetime.datetime.utcnow() - seen).total_seconds()) < 10
    probe.stop()
    wait_for("not Ready", lambda: condition()["status"] == "False")
    assert condition()["reason"] == "Disconnected"
    assert sessions.get(probe.name)["status"]["carriers"] == 0


def test_deleting_a_session_ends_its_tunnels(sessions):
    other = sessions.connect()

    def attempt():
        probe = sessions.connect()
        begun = time.monotonic()
        sessions.cluster.delete("session", "-n", NAMESPACE, probe.name)
        probe.wait(lambda: probe.closed)
        assert "the session was deleted" in probe.closed
        return time.monotonic() - begun

    best_of(attempt, 2)
    assert other.request("GET", "/v1/version", "manager").status == 200


def test_session_without_tunnel_expires(sessions):
    kept = sessions.connect(ttl=10)

    def attempt():
        probe = sessions.connect(ttl=10)
        never = sessions.create(sessions.probe(), ttl=10)["metadata"]["name"]
        probe.stop()
        return took(wait_for, "the end of both", lambda: not any(map(sessions.exists, (probe.name, never))))[0]

    best_of(attempt, 20, tries=2)
    assert sessions.exists(kept.name)
    assert kept.request("GET", "/v1/version", "manager").status == 200


def test_termination_tells_and_exits_with_zero(sessions, cluster, manager):
    def attempt():
        probe = sessions.connect()
        pod = cluster.manager_pod()["metadata"]["name"]
        begun = time.monotonic()
        cluster.delete("pod", "-n", NAMESPACE, pod)
        probe.wait(lambda: probe.closed)
        assert "shutting down" in probe.closed
        wait_for("the pod to go", lambda: not pod_exists(cluster, pod))
        seconds = time.monotonic() - begun
        cluster.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/traffic-manager", "--timeout=60s")
        return seconds

    # Less than the grace that a pod has: 30 s.
    best_of(attempt, 25, tries=2)
    again = sessions.probe()
    again.open(sessions.get(sessions.names[0])["metadata"]["uid"])
    assert not again.ready  # another key
    assert sessions.connect().request("GET", "/v1/version", "manager").status == 200


def pod_exists(cluster, name):
    return any(one["metadata"]["name"] == name for one in cluster.get("pods", "-n", NAMESPACE)["items"])
