# SPDX-License-Identifier: Apache-2.0
"""CoreDNS dies, or is replaced, while names are looked up: each of them is answered, and all is as before when it is back."""

import contextlib
import os
import signal
import threading
import time

import pytest

import dnswire
from conftest import run, wait_for
from localcluster import plan
from nets import pids_of
from timing import best_of

NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
BACK_S = 2
# LIMIT_DNS_TIMEOUT_MS, and what a busy machine adds.
TIMEOUT_S, BUSY_S = 5, 10


class LookUps(threading.Thread):
    """One name after the other, each asked for once: begin, seconds and rcode of each."""

    def __init__(self, net, server, name_of):
        super().__init__(daemon=True)
        self.over, self.seen, self.name_of = threading.Event(), [], name_of
        self.sock = net.udp(timeout=2 * (TIMEOUT_S + BUSY_S))
        self.sock.connect((server, 53))

    def run(self):
        with self.sock:
            for number in range(1, 1 << 16):
                if self.over.wait(0.02):
                    return
                begun = time.monotonic()
                self.sock.send(dnswire.query(self.name_of(number), ident=number))
                answer = self.sock.recv(4096)
                assert answer[:2] == number.to_bytes(2, "big")
                self.seen.append((begun, time.monotonic() - begun, answer[3] & 15))


@contextlib.contextmanager
def looked_up(net, server, **names):
    threads = {kind: LookUps(net, server, name_of) for kind, name_of in names.items()}
    for thread in threads.values():
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads.values():
            thread.over.set()
        for thread in threads.values():
            thread.join(60)


@pytest.fixture
def nameserver(cluster):
    """nameserver() says whether the cluster's own answers a node."""
    argv = ["ip", "netns", "exec", plan.get(cluster.name).nodes[0].netns, "dig", "+noall", "+comments", "+tries=1", "+time=1"]
    address, names = cluster.cluster_ip("kube-system", "kube-dns"), (f"n{i}.demo.svc.cluster.local" for i in range(1 << 30))
    yield lambda: "NXDOMAIN" in run([*argv, f"@{address}", next(names)], check=False).stdout
    wait_for("CoreDNS", lambda: "NXDOMAIN" in run([*argv, f"@{address}", next(names)], check=False).stdout)


def pods_of(cluster):
    return [pod["metadata"] for pod in cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]]


def kill(cluster):
    for pod in pods_of(cluster):
        for pid in pids_of(pod["uid"], "coredns"):
            os.kill(pid, signal.SIGKILL)


def delete(cluster):
    names = [pod["name"] for pod in pods_of(cluster)]
    cluster.kubectl("-n", "kube-system", "delete", "pod", *names, "--grace-period=0", "--force", "--wait=false")


@pytest.mark.parametrize("strike", [kill, delete])
def test_the_nameserver_of_the_cluster_dies(connected, cluster, laptop_net, nameserver, strike):
    """Services and the names of others are answered all the time; what only CoreDNS knows fails in time, and never wrongly."""
    asked = connected.status()["root_daemon"]["dns"]["remote_ip"]
    stamp = time.monotonic_ns()

    def attempt():
        """How long after CoreDNS is back a look-up still began that failed."""
        with looked_up(
            laptop_net,
            asked,
            service=lambda _: "web.demo.svc.cluster.local",
            absent=lambda number: f"absent-{stamp}-{number}.demo.svc.cluster.local",
            public=lambda _: "www.example.com",
        ) as threads:
            wait_for("answers", lambda: all(thread.seen for thread in threads.values()))
            strike(cluster)
            wait_for("its absence", lambda: not nameserver(), pause=0.02)
            wait_for("CoreDNS", nameserver, pause=0.02)
            back = time.monotonic()
            absent = threads["absent"].seen
            wait_for("a second without failures", lambda: time.monotonic() - last_failure(absent, back) > 1)
        for kind in ("service", "public"):
            assert {rcode for _, _, rcode in threads[kind].seen} == {NOERROR}
            assert max(seconds for _, seconds, _ in threads[kind].seen) < TIMEOUT_S - 1
        # One that waits meanwhile is asked again after 2 s, and may come in time.
        assert {rcode for _, _, rcode in absent} <= {NXDOMAIN, SERVFAIL}
        assert max(seconds for _, seconds, _ in absent) < TIMEOUT_S + BUSY_S
        return max(0, last_failure(absent, back) - back)

    best_of(attempt, BACK_S, tries=3)


def last_failure(seen, back):
    return max([back, *(begun for begun, _, rcode in seen if rcode == SERVFAIL)])
