# SPDX-License-Identifier: Apache-2.0
"""What happens to an intercept when its agents die, or its laptop vanishes without a word."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT, run, wait_for

NAMESPACE = "faults"

WORKLOAD = """
apiVersion: v1
kind: Namespace
metadata: {name: faults}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: faults}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: shop
          image: node.local/busybox:1
          imagePullPolicy: IfNotPresent
          command: [sh, -c, 'mkdir /www; echo "pod $HOSTNAME" >/www/index.html; exec httpd -f -p 8080 -h /www']
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: faults}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: faults, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: client, image: "node.local/busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "86400"]}
"""


def pids_of(pod_uid, program):
    """Pids, as seen from here, of a program in a pod: its cgroup names the pod."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if pod_uid in (entry / "cgroup").read_text() and program.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


class Shop:
    """Three replicas behind a Service, and a pod whose network the requests come from."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.address = cluster.cluster_ip(NAMESPACE, "shop")
        self.client = pids_of(cluster.pods(NAMESPACE, "client")[0]["metadata"]["uid"], "sleep")[0]

    def pods(self):
        return self.cluster.pods(NAMESPACE, "shop")

    def agents(self):
        return [pid for pod in self.pods() for pid in pids_of(pod["metadata"]["uid"], "traffic-agent")]

    def enter(self, *argv):
        return ["nsenter", "-t", str(self.client), "-n", *map(str, argv)]

    def ask(self):
        done = run(self.enter("curl", "-sS", "--max-time", "3", f"http://{self.address}/"), check=False)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def shop(cluster):
    cluster.apply(WORKLOAD)
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/shop", "--timeout=60s")
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    yield Shop(cluster)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=60s")


@pytest.fixture
def local_server(connected, tmp_path):
    """The laptop's version of the service, on port 8080."""
    (tmp_path / "index.html").write_text("laptop\n")
    process = connected.popen(
        "python3", "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory", tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    wait_for("local server", lambda: connected.run("curl", "-s", "http://127.0.0.1:8080/", check=False).stdout, 10)
    yield
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def intercept(laptop):
    return laptop.telepresence("intercept", "shop", "--namespace", NAMESPACE, "--workload", "shop", "--port", "8080")


def test_killed_agent_the_app_serves_at_once(connected, shop, local_server):
    intercept(connected)
    assert shop.ask() == "laptop"
    for pid in shop.agents():
        os.kill(pid, signal.SIGKILL)
    wait_for("agents dead", lambda: not shop.agents() or shop.ask().startswith("pod"), 0.5, pause=0.01)
    wait_for("the intercept is back by itself", lambda: all(shop.ask() == "laptop" for _ in range(9)), 30)
    connected.telepresence("leave", "shop")


def test_vanished_laptop_the_app_answers_within_a_second(connected, cluster, shop, local_server):
    sys.path.insert(0, str(ROOT / "scripts"))
    from localcluster import laptop as machine, plan  # noqa: PLC0415

    cable = machine.Laptop(plan.get(cluster.name))
    intercept(connected)
    assert shop.ask() == "laptop"
    cable.cut()
    try:
        begun = time.monotonic()
        assert shop.ask().startswith("pod")
        assert time.monotonic() - begun < 1.1
        # The manager knows now: nobody waits for the laptop again.
        begun = time.monotonic()
        assert shop.ask().startswith("pod")
        assert time.monotonic() - begun < 0.3
    finally:
        cable.no_wan()
    wait_for("the laptop answers again", lambda: shop.ask() == "laptop", 30)
    connected.telepresence("leave", "shop")
