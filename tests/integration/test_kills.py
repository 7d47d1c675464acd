# SPDX-License-Identifier: Apache-2.0
"""kill -9, again and again, of everything that an intercept is made of, while it is asked 200 times a second.

What is in flight inside the killed process may be cut. Every request begun later is answered, by the laptop or by the
app, within a second; after an agent's death alone, within a tenth. A second load, which nothing of ours is in the way
of, tells how late this machine itself is meanwhile; that is added to what is allowed.
"""

import contextlib
import os
import pathlib
import re
import select
import socket
import threading
import time

import pytest

from conftest import wait_for
from kills import CARRIES, Death, World, kill
from load import Load, Server
from localcluster import plan
from nets import CLONE_NEWNET, LIBC, pids_of

NAMESPACE = "kills"
RATE = 200
CONTROL_RATE = 50
SOON = 1.0
AT_ONCE = 0.1

WORKLOADS = """
apiVersion: v1
kind: Namespace
metadata: {name: kills}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: kills}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: shop, image: "node.local/busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "86400"],
           ports: [{name: http, containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: kills}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: kills, labels: {app: other}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: other, image: "node.local/busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "86400"]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: kills}
spec:
  selector: {app: other}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: kills, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: client, image: "node.local/busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "86400"]}
"""


def net_of(pod):
    return f"/proc/{pids_of(pod['metadata']['uid'], 'sleep')[0]}/ns/net"


def laptop_net(cluster):
    return f"/run/netns/{plan.get(cluster.name).netns('laptop')}"


class Shop:
    """Three replicas behind a Service whose program runs in each pod's network; the same beside it, never intercepted."""

    def __init__(self, cluster, stack):
        self.cluster = cluster
        self.pods = cluster.pods(NAMESPACE, "shop")
        self.address = cluster.cluster_ip(NAMESPACE, "shop")
        self.client = net_of(cluster.pods(NAMESPACE, "client")[0])
        for pod in self.pods:
            stack.enter_context(Server(net_of(pod), "0.0.0.0", 8080, "app"))
        stack.enter_context(Server(net_of(cluster.pods(NAMESPACE, "other")[0]), "0.0.0.0", 8080, "other"))
        self.other = cluster.cluster_ip(NAMESPACE, "other")

    def loads(self, address=None, port=80):
        """The load on the shop, or on one of its pods, and the one that nothing of ours is in the way of."""
        return Load(self.client, address or self.address, port, RATE), Load(self.client, self.other, 80, CONTROL_RATE)


@pytest.fixture(scope="module")
def shop(cluster):
    cluster.apply(WORKLOADS)
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/shop", "--timeout=60s")
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    with contextlib.ExitStack() as stack:
        yield Shop(cluster, stack)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=60s")


def lateness(control, begun, ended):
    """How late the machine itself was while a request was under way."""
    return max((one.took for one in control if one.ended >= begun and one.begun <= ended), default=0)


def limit(request, deaths, settled):
    """What a request may take: after an agent's death alone, when all was well before it, it is answered at once."""
    before = [death for death in deaths if death.dead < request.begun and request.begun - death.dead < 10]
    around = [death for death in deaths if death.killed <= request.ended and death.dead >= request.begun - 10]
    alone = before and len(around) == 1 and around[0].victim == "agent"
    calm = alone and any(around[0].killed - 1 < moment < around[0].killed for moment in settled)
    return AT_ONCE if calm and request.begun - around[0].dead < 0.5 else SOON


def wrong(requests, control, deaths, settled):
    """Those that were not answered as they had to be."""
    found = []
    for one in requests:
        excused = any(
            death.victim in CARRIES and one.begun <= death.dead and one.ended >= death.killed for death in deaths
        )
        if excused:
            continue
        allowed = limit(one, deaths, settled) + lateness(control, one.begun, one.ended)
        if one.failed or one.took > allowed:
            found.append(f"{one.begun:.3f} took {one.took:.3f} of {allowed:.3f}: {one.answer}")
    return found


def story(deaths, person):
    lines = [f"{death.killed:.3f} {death.victim} killed, dead at {death.dead:.3f}" for death in deaths]
    return "\n".join(sorted(lines + person.said))


def test_the_root_daemons_death_cuts_no_request(connected, cluster, shop):
    """The user daemon ends with it, but not before those that it has taken are answered."""
    world = World(cluster, connected, shop.pods)
    load, control = shop.loads()
    with Server(laptop_net(cluster), "127.0.0.1", 8080, "laptop"), load, control:
        connected.telepresence("intercept", "shop", "--namespace", NAMESPACE, "--workload", "shop", "--port", "8080")
        load.wait_answered_by("laptop", 10)
        assert kill("rootd", world.daemon("rootd"))
        load.wait_answered_by("app", 10)
        load.stop()
        control.stop()
    assert not wrong(load.requests, control.requests, [], []), [one for one in load.requests if one.failed]
    wait_for("the user daemon's end", lambda: not connected.daemons(), 5)


def sessions(cluster):
    return [one["metadata"]["name"] for one in cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]]


def test_connecting_again_ends_what_a_killed_daemon_left(connected, cluster, shop):
    """Not its time-out is waited for: the same port is intercepted by another name at once."""
    args = ["--namespace", NAMESPACE, "--workload", "shop", "--port", "8080"]
    world = World(cluster, connected, shop.pods)
    connected.telepresence("intercept", "first", *args)
    left = sessions(cluster)
    kill("userd", world.daemon("userd"))
    wait_for("the root daemon's end", lambda: not connected.daemons(), 5)
    assert sessions(cluster) == left
    connected.connect()
    connected.telepresence("intercept", "second", *args)
    assert not set(left) & set(sessions(cluster))
    connected.telepresence("leave", "second")


def hold(net, address, count, held):
    """Opens connections from a network namespace and says nothing."""

    def work():
        handle = os.open(net, os.O_RDONLY | os.O_CLOEXEC)
        LIBC.setns(handle, CLONE_NEWNET)
        os.close(handle)
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((address, 8080))
            held.append(one)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_an_agent_without_memory_leaves_the_port_to_the_app(connected, cluster, shop):
    """Killed by the kernel: its container has little more than it uses, then come connections that need it."""
    args = ["--namespace", NAMESPACE, "--workload", "shop", "--port", "8080"]
    pod, held = shop.pods[0], []
    load, control = shop.loads(pod["status"]["podIP"], 8080)
    with Server(laptop_net(cluster), "127.0.0.1", 8080, "laptop"), load, control, contextlib.ExitStack() as stack:
        connected.telepresence("intercept", "shop", *args)
        load.wait_answered_by("laptop", 10)
        (pid,) = pids_of(pod["metadata"]["uid"], "/traffic-agent")
        handle = os.pidfd_open(pid)
        stack.callback(os.close, handle)
        stack.callback(lambda: [one.close() for one in held])
        memory = re.search(r":memory:(.*)", pathlib.Path(f"/proc/{pid}/cgroup").read_text())[1]
        group = pathlib.Path("/sys/fs/cgroup/memory") / memory.lstrip("/")
        used = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(f"{used + (256 << 10)}\n")
        begun = time.monotonic()
        hold(shop.client, pod["status"]["podIP"], 3000, held)
        assert select.select([handle], [], [], 20)[0], "it lives"
        death = Death("agent", begun, time.monotonic())
        wait_for("requests after it", lambda: load.read() and len(load.since(death.dead)) > RATE, 10)
        load.stop()
        control.stop()
    later = load.since(death.dead)
    assert len(later) > RATE / 2
    bad = [
        one
        for one in later
        if one.failed or one.took > AT_ONCE + lateness(control.requests, one.begun, one.ended)
    ]
    assert not bad, bad[:20]
    connected.telepresence("leave", "shop")
