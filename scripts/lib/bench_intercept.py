# SPDX-License-Identifier: Apache-2.0
"""The rows of scripts/bench about intercepts: how long they take, what they cost a connection, a byte and the app."""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

NAMESPACE = "bench"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: work, namespace: bench}
spec:
  replicas: 2
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: work
          image: node.local/pump:1
          imagePullPolicy: IfNotPresent
          args: ["9000"]
          ports: [{name: pump, containerPort: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: work, namespace: bench}
spec:
  selector: {app: work}
  ports: [{name: pump, port: 9000}]
"""
LOCAL_PORT = "9100"


def processes(program, text):
    """Pids of a program whose cgroup or command line has the text."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            if os.path.basename(argv[0]).decode(errors="replace") == program:
                if text in (entry / "cgroup").read_text() + b" ".join(argv).decode(errors="replace"):
                    found.append(int(entry.name))
    return found


class Work:
    """A Deployment of two pods, and the network of a third from which it is asked."""

    def __init__(self, rig, pump):
        self.rig = rig
        self.pump = pump
        rig.kubectl("apply", "-f", "-", stdin=MANIFEST)
        self.ready()
        service = json.loads(rig.kubectl("-n", NAMESPACE, "get", "service", "work", "-o", "json"))
        self.ip = service["spec"]["clusterIP"]
        uid = json.loads(rig.kubectl("-n", NAMESPACE, "get", "pod", "pump", "-o", "json"))["metadata"]["uid"]
        self.client = processes("pumpserver", uid)[0]

    def ready(self):
        self.rig.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/work", "--timeout=60s")

    def fresh(self):
        """Pods that never had an agent."""
        self.rig.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/work")
        self.ready()

    def measure(self, what, count):
        argv = ["nsenter", "-t", str(self.client), "-n", str(self.pump), "tcp", self.ip, "9000", what, str(count)]
        return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout)

    def intercept(self):
        port = f"{LOCAL_PORT}:9000"
        self.rig.laptop("telepresence", "intercept", "work", "--namespace", NAMESPACE, "-w", "work", "--port", port)

    def leave(self):
        self.rig.laptop("telepresence", "leave", "work")

    def agents(self):
        pods = json.loads(self.rig.kubectl("-n", NAMESPACE, "get", "pods", "-l", "app=work", "-o", "json"))["items"]
        return [pid for pod in pods for pid in processes("traffic-agent", pod["metadata"]["uid"])]


def timed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def life_cycle(work, rounds):
    absent, present, leave = [], [], []
    for _ in range(rounds):
        work.fresh()
        absent.append(timed(work.intercept))
        leave.append(timed(work.leave))
        present.append(timed(work.intercept))
        leave.append(timed(work.leave))
    start = statistics.median(timed(lambda: work.rig.laptop("true")) for _ in range(rounds))
    names = ("intercept, 2 pods without agent", "intercept, agents there", "leave")
    values = (absent, present, leave)
    return [(name, max(statistics.median(times) - start, 0)) for name, times in zip(names, values, strict=True)]


def median(work, what, count, key, rounds):
    return statistics.median(work.measure(what, count)[key] for _ in range(rounds))


def compare(work, rounds, size, rss_mb):
    """(figure, unit, baseline, ours) rows, and the agents' RSS."""
    work.fresh()
    plain = {
        "down": median(work, "down", size, "mb_per_s", rounds),
        "connect": median(work, "connect", 500, "p50_us", rounds),
        "echo": median(work, "echo", 2000, "p50_us", rounds),
    }
    work.intercept()
    ours = {
        "down": median(work, "down", size, "mb_per_s", rounds),
        "up": median(work, "up", size, "mb_per_s", rounds),
        "connect": median(work, "connect", 500, "p50_us", rounds),
        "echo": median(work, "echo", 2000, "p50_us", rounds),
    }
    # The same pair of machines the other way round: the laptop's own connections through `connect`. A byte that the
    # pod's caller downloads is one that the laptop sends.
    tunnel = {
        "up": statistics.median(work.rig.tcp("up", size)["mb_per_s"] for _ in range(rounds)),
        "down": statistics.median(work.rig.tcp("down", size)["mb_per_s"] for _ in range(rounds)),
    }
    busy = max(rss_mb(pid) for pid in work.agents())
    work.leave()
    idle_agent = median(work, "down", size, "mb_per_s", rounds)
    work.fresh()
    again = median(work, "down", size, "mb_per_s", rounds)
    rows = [
        ("bulk to the caller, over bulk laptop to cluster by `connect`", "MB/s", tunnel["up"], ours["down"]),
        ("bulk from the caller, over bulk cluster to laptop by `connect`", "MB/s", tunnel["down"], ours["up"]),
        ("new connection and one byte, over the app itself", "µs p50", plain["connect"], ours["connect"]),
        ("one byte there and back, over the app itself", "µs p50", plain["echo"], ours["echo"]),
        ("the app's bulk with an idle agent, over without", "MB/s", statistics.mean([plain["down"], again]), idle_agent),
    ]
    return rows, busy


def section(rig, pump, server, rounds, size, rss_mb):
    """The lines of docs/benchmarks.md about intercepts."""
    work = Work(rig, pump)
    local = rig.laptop_process(server, LOCAL_PORT)
    try:
        rig.laptop("telepresence", "connect")
        times = life_cycle(work, rounds)
        work.fresh()
        work.intercept()
        work.leave()
        time.sleep(5)
        idle = max(rss_mb(pid) for pid in work.agents())
        rows, busy = compare(work, rounds, size, rss_mb)
    finally:
        os.killpg(local.pid, signal.SIGKILL)
        local.wait()
    lines = ["", "## Intercepts", "", "| figure | unit | baseline | intercepted | ratio |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {unit} | {base:.1f} | {ours:.1f} | {ours / base:.2f} |" for name, unit, base, ours in rows]
    lines += ["", "| figure | seconds |", "|---|---|"]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in times]
    lines += ["", "| process | idle, MB | after bulk, MB |", "|---|---|---|", f"| traffic-agent | {idle:.1f} | {busy:.1f} |"]
    return lines
