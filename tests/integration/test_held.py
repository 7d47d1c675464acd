# SPDX-License-Identifier: Apache-2.0
"""Connections that stay, with other people's clients and servers at both ends, and thousands of them."""

import json
import subprocess

import pytest
from agents import Process
from conftest import LONG, ROOT, wait_for
from timing import best_of, took

PROGRAM = ROOT / "tests/integration/held.py"
# The machine's own Python and its libraries, in a pod: a node shows its files.
POD = """
apiVersion: v1
kind: Pod
metadata: {name: held, namespace: demo, labels: {app: held}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: held
      image: node.local/busybox:1
      imagePullPolicy: IfNotPresent
      command: [chroot, /machine, /usr/bin/python3, -I, -B, /srv/held.py, serve]
      readinessProbe: {tcpSocket: {port: 8002}, periodSeconds: 1}
      volumeMounts:
        - {name: machine, mountPath: /machine}
        - {name: program, mountPath: /machine/srv}
  volumes:
    - {name: machine, hostPath: {path: /}}
    - {name: program, configMap: {name: held}}
"""
HELD = ["/usr/bin/python3", "-I", "-B", PROGRAM]
SECONDS = 600 if LONG else 5
CROWD = 10_000
BUSY = 1000
# For each idle connection: a flow, a relay and a stream.
KB_EACH = 6


@pytest.fixture(scope="module")
def held(cluster):
    cluster.kubectl("create", "configmap", "held", "-n", "demo", f"--from-file={PROGRAM}")
    cluster.apply(POD)
    cluster.kubectl("wait", "-n", "demo", "--for=condition=Ready", "pod/held", "--timeout=60s")
    yield cluster.pod_ip("demo", "held")
    cluster.kubectl("delete", "pod", "-n", "demo", "held", "--wait=false")
    cluster.kubectl("delete", "configmap", "-n", "demo", "held")


def test_streams_are_held(connected, held):
    def attempt():
        """The longest silence; each says ten numbers a second."""
        seen = json.loads(connected.run(*HELD, "hold", SECONDS, held, timeout=SECONDS + 60).stdout)
        assert set(seen) == {"events", "rpc", "socket"}
        for name, stream in seen.items():
            assert stream["wrong"] is None, (name, stream)
        few = any(stream["count"] < SECONDS * 5 for stream in seen.values())
        return SECONDS if few else max(stream["longest_s"] for stream in seen.values())

    best_of(attempt, 3, tries=3)


def test_ten_thousand_connections_stay_open(laptop, cluster, held):
    # As a shell on a laptop: with few descriptors. The daemons raise it for themselves.
    laptop.run("sh", "-c", "ulimit -S -n 1024; exec telepresence connect")
    pids = {**laptop.daemons(), "manager": cluster.manager_pid()}
    processes = {name: Process(pid) for name, pid in pids.items()}
    before = {name: (one.resident_kb(), one.descriptors()) for name, one in processes.items()}
    crowd = laptop.popen(*HELD, "crowd", CROWD, held, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert crowd.stdout.readline().strip() == "open"
        for name, one in processes.items():
            assert one.resident_kb() - before[name][0] < CROWD * KB_EACH, name

        def attempt():
            seconds, text = took(laptop.curl, "http://web.demo/")
            assert "pod" in text
            return seconds

        best_of(attempt, 2)
        said, _ = crowd.communicate("\n", timeout=120)
        assert json.loads(said)["answered"] == CROWD
    finally:
        crowd.kill()
        crowd.wait()
    for name, one in processes.items():
        wait_for(f"descriptors of {name}", lambda one=one, name=name: one.descriptors() <= before[name][1] + 20)


def test_a_thousand_busy_connections(connected, held):
    """All at once, each with bytes of its own: every byte comes back where it came from, and small requests go on beside."""
    busy = connected.popen(*HELD, "busy", BUSY, held, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert busy.stdout.readline() == "open\n"
        assert connected.status()["root_daemon"]["traffic"]["connections_active"] >= BUSY
        busy.stdin.write("\n")
        busy.stdin.flush()
        assert "pod" in connected.curl("http://web.demo/")
        said, _ = busy.communicate(timeout=120)
    finally:
        busy.kill()
        busy.wait()
    print(said)
    came = json.loads(said)
    assert came["right"] == came["of"] == 10 * BUSY
