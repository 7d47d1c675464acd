# SPDX-License-Identifier: Apache-2.0
"""Services that come, go and change, as the laptop's resolver sees them a second later, and what names cost."""

import json
import os
import re
import signal
import time

import pytest

from conftest import run, wait_for
from nets import pids_of
from timing import best_of, took

DOMAIN = "svc.cluster.local"


def service(name, **spec):
    spec = {"ports": [{"name": "http", "port": 80}], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "renamed"}, "spec": spec})


@pytest.fixture(scope="module")
def namespace(cluster):
    cluster.apply('{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"renamed"}}')
    yield "renamed"
    cluster.kubectl("delete", "namespace", "renamed", "--wait=false")


@pytest.fixture
def connected(laptop, namespace):
    laptop.connect("--namespace", namespace)
    return laptop


def ask(laptop, *args):
    return laptop.run("dig", "+short", "+tries=1", "+time=20", *args).stdout.split()


def seen_after(laptop, changed, wanted, *args):
    """How long after the change the first lookup began that was answered so."""
    while True:
        asked = time.monotonic()
        got = ask(laptop, *args)
        if got == wanted:
            return asked - changed
        assert asked <= changed + 60, (args, got, wanted)


def test_service_is_seen_at_once(connected, cluster, namespace):
    """One that was asked for before it existed, in every form; then deleted, made anew, and made headless."""
    names = ["early", f"early.{namespace}", f"early.{namespace}.svc", f"early.{namespace}.{DOMAIN}"]
    for name in names:
        assert ask(connected, name) == []

    def attempt():
        cluster.apply(service("early"))
        changed = time.monotonic()
        ip = cluster.cluster_ip(namespace, "early")
        seen = max(seen_after(connected, changed, [ip], name) for name in names)
        assert ask(connected, names[-1], "AAAA") == []
        cluster.kubectl("-n", namespace, "delete", "service", "early")
        return seen

    def headless():
        cluster.kubectl("-n", namespace, "delete", "service", "early", "--ignore-not-found")
        cluster.apply(service("early", clusterIP="None"))
        return seen_after(connected, time.monotonic(), [], names[-1])

    # Never known, and known with an address from before.
    for _ in range(2):
        best_of(attempt, 1)
    best_of(headless, 1)


def test_the_name_of_an_address_is_seen_at_once(connected, cluster, namespace):
    """Of both families: one that was asked for while nobody had it, then of the next Service that has it."""
    both = {"ipFamilyPolicy": "RequireDualStack"}
    cluster.apply(service("first", **both))
    ips = cluster.get("service", "-n", namespace, "first")["spec"]["clusterIPs"]
    assert len(ips) == 2

    def attempt(name):
        # At once: what was asked for is remembered for some seconds.
        made = json.loads(service(name, clusterIP=ips[0], clusterIPs=ips, **both))
        cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/services", made)
        changed = time.monotonic()
        seen = max(seen_after(connected, changed, [f"{name}.{namespace}.{DOMAIN}."], "-x", ip) for ip in ips)
        cluster.kubectl("-n", namespace, "delete", "service", name)
        return seen

    def absent(name):
        """CoreDNS, which says so, is behind by some seconds at most."""
        for ip in ips:
            seen_after(connected, time.monotonic(), [], "-x", ip)
        return attempt(name)

    cluster.kubectl("-n", namespace, "delete", "service", "first")
    best_of(lambda: absent("second"), 1)
    best_of(lambda: attempt("third"), 1)


@pytest.fixture
def coredns_stands_still(cluster):
    pods = [one for one in cluster.get("pods", "-n", "kube-system")["items"] if one["metadata"]["name"].startswith("coredns")]
    pids = [pid for pod in pods for pid in pids_of(pod["metadata"]["uid"], "coredns")]
    assert pids
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_new_service_does_not_wait_for_coredns(connected, cluster, namespace, coredns_stands_still):
    """Name and addresses of both families, each by the other."""
    made = json.loads(service("swift", ipFamilyPolicy="RequireDualStack"))
    made = cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/services", made)
    name, changed = f"swift.{namespace}.{DOMAIN}", time.monotonic()
    for ip, kind in zip(made["spec"]["clusterIPs"], ("A", "AAAA"), strict=True):
        seen_after(connected, changed, [ip], name, kind)
        assert ask(connected, "-x", ip) == [f"{name}."]


def test_programs_keep_no_answer_for_long(connected, cluster, namespace):
    """A cache between a program and the resolver goes by the TTL: a second, also for what does not exist."""
    cluster.apply(service("brief"))
    name = f"brief.{namespace}.{DOMAIN}"
    text = wait_for("its address", lambda: connected.run("dig", "+noall", "+answer", name).stdout)
    assert int(text.split()[1]) <= 1, text
    text = connected.run("dig", "+noall", "+authority", f"nobody.{namespace}.{DOMAIN}").stdout
    soa = re.search(r"\s(\d+)\s+IN\s+SOA\s.*\s(\d+)$", text.strip())
    assert soa and max(map(int, soa.groups())) <= 1, text


@pytest.fixture
def asked(cluster):
    """asked() is how many questions the manager has sent to the nameserver of the cluster."""
    nft = ["nsenter", "-t", cluster.manager_pid(), "-n", "nft"]
    chain = "chain c { type filter hook output priority 0; udp dport 53 counter name sent; }"
    run([*nft, f"table inet asked {{ counter sent {{ }}; {chain}; }}"])
    yield lambda: int(re.search(r"packets (\d+)", run([*nft, "list", "counter", "inet", "asked", "sent"]).stdout)[1])
    run([*nft, "delete", "table", "inet", "asked"])


def test_absent_name_is_asked_once(connected, namespace, asked):
    """However often programs ask, and for which types: one question to the cluster's nameserver in 5 s."""
    name = f"absent-{time.monotonic_ns()}.{namespace}.{DOMAIN}"
    before, sent = connected.status()["root_daemon"]["dns"], asked()
    # glibc asks for A and AAAA at the same time.
    script = f"for i in $(seq 10); do getent ahosts {name}; dig +short +tries=1 +time=20 {name}; done; :"
    seconds, _ = took(connected.run, "sh", "-c", script, timeout=300)
    after = connected.status()["root_daemon"]["dns"]
    assert after["cluster"] - before["cluster"] == 30
    assert 30 - (after["cached"] - before["cached"]) <= 2 * (1 + seconds // 5)
    assert 1 <= asked() - sent <= 1 + seconds // 5
