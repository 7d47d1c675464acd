# SPDX-License-Identifier: Apache-2.0
"""The rows of scripts/bench about intercepts: how long they take, what they cost a connection, a byte and the app."""

import os
import signal
import time

from localcluster import workloads

from .cluster import NAMESPACE, PORT, pump, stop_process
from .machine import PUMP, SERVER, Failed, Watch, cpu_seconds, load_words, median, processes, rss_mb, run_json, timed
from .report import Row, Section

MANIFEST = workloads.listed(
    workloads.deployment(NAMESPACE, 2, pump("work")),
    workloads.service(NAMESPACE, "work", int(PORT), int(PORT)),
)
LOCAL_PORT = "9100"
# What pods carry with an idle agent is compared with what the same ones carry without. One second and the next of the
# same differ by a tenth, because the cluster's own processes take their part of the processors: many short ones, in
# turn, and of each kind one of the best.
TURNS = 6
SLICES = 15
SLICE_S = 0.25
AMONG_BEST = 0.9
SETTLE_S = 2


class Work:
    """A Deployment of two pods, and the network of a third from which it is asked."""

    def __init__(self, rig):
        self.rig = rig
        rig.kubectl("apply", "-f", "-", stdin=MANIFEST)
        self.ready()
        self.ip = rig.get("-n", NAMESPACE, "service", "work")["spec"]["clusterIP"]
        uid = rig.get("-n", NAMESPACE, "pod", "pump")["metadata"]["uid"]
        self.client = processes("pumpserver", uid)[0]

    def ready(self):
        self.rig.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/work", "--timeout=60s")
        self.rig.cubic()

    def fresh(self):
        """Pods that never had an agent."""
        self.rig.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/work")
        self.ready()

    def measure(self, *words):
        return run_json(["nsenter", "-t", self.client, "-n", PUMP, "tcp", self.ip, PORT, *words])

    def intercept(self):
        port = f"{LOCAL_PORT}:{PORT}"
        self.rig.telepresence("intercept", "work", "--namespace", NAMESPACE, "-w", "work", "--port", port)

    def leave(self):
        self.rig.telepresence("leave", "work")

    def agents(self):
        pods = self.rig.get("-n", NAMESPACE, "pods", "-l", "app=work")["items"]
        pids = [pid for pod in pods for pid in processes("traffic-agent", pod["metadata"]["uid"])]
        return dict(enumerate(pids))


def life_cycle(work, rounds):
    absent, present, leave = [], [], []
    for _ in range(rounds):
        work.fresh()
        absent.append(timed(work.intercept))
        leave.append(timed(work.leave))
        present.append(timed(work.intercept))
        leave.append(timed(work.leave))
    for figure, values, must, good in (
        ("intercept, 2 pods without agent", absent, 0.9, 0.5),
        ("intercept, agents there", present, 0.1, 0.05),
        ("leave", leave, 0.1, 0.05),
    ):
        yield Row(figure, "s", median(values), None, must, good, False)


def figures(work, rounds, seconds):
    """Medians of what the pods' caller sees."""
    got = {}
    for _ in range(rounds):
        for way in ("down", "up"):
            got.setdefault(way, []).append(work.measure(*load_words(way, 1, seconds, 0.3))["mb_per_s"])
        got.setdefault("connect", []).append(work.measure("connect", 500)["p50_us"])
        got.setdefault("echo", []).append(work.measure(*load_words("down", 0, seconds / 2, 0.1))["p50_us"])
    return {name: median(values) for name, values in got.items()}


def slices(work, count):
    work.measure(*load_words("down", 1, SLICE_S, 0.3))
    return [work.measure(*load_words("down", 1, SLICE_S, 0.05))["mb_per_s"] for _ in range(count)]


def idle_agent(work, turns, count):
    """An agent that has been left holds no rule."""

    def best(rates):
        return sorted(rates)[int(len(rates) * AMONG_BEST)]

    without, idle, used = [], [], 0
    work.fresh()
    for _ in range(turns):
        time.sleep(SETTLE_S)
        without += slices(work, count)
        work.intercept()
        work.leave()
        time.sleep(SETTLE_S)
        agents = work.agents().values()
        before = sum(map(cpu_seconds, agents))
        idle += slices(work, count)
        used += sum(map(cpu_seconds, agents)) - before
        for pid in agents:
            os.kill(pid, signal.SIGKILL)
    yield Row("the app's bulk with an idle agent, over without", "MB/s", best(idle), best(without), 0.99, 1)
    yield Row("processor time of the idle agents meanwhile", "s", used)


def compare(work, rounds, seconds):
    work.fresh()
    plain = figures(work, rounds, seconds)
    work.intercept()
    ours = figures(work, rounds, seconds)
    # The same pair of machines the other way round: the laptop's own connections through `connect`. A byte that the
    # pod's caller downloads is one that the laptop sends.
    tunnel = {
        way: median([work.rig.tcp(*load_words(way, 1, seconds, 0.3))["mb_per_s"] for _ in range(rounds)])
        for way in ("up", "down")
    }
    agents = work.agents()
    if not agents:
        raise Failed("no traffic-agent runs")
    with Watch(agents) as watch:
        work.measure(*load_words("down", 64, seconds, 0.5))
    work.leave()
    yield Row("bulk to the caller, over bulk laptop to cluster by `connect`", "MB/s", ours["down"], tunnel["up"])
    yield Row("bulk from the caller, over bulk cluster to laptop by `connect`", "MB/s", ours["up"], tunnel["down"])
    yield Row("new connection and one byte, over the app itself", "µs p50", ours["connect"], plain["connect"])
    yield Row("one byte there and back, over the app itself", "µs p50", ours["echo"], plain["echo"])
    yield Row("RSS of traffic-agent with 64 busy streams", "MB", max(watch.peak.values()), None, 64, 32, False)


def section(rounds, quick, rig):
    rig.connect()
    work = Work(rig)
    local = rig.laptop_process(SERVER, LOCAL_PORT)
    try:
        rows = list(life_cycle(work, rounds))
        work.fresh()
        work.intercept()
        work.leave()
        time.sleep(1 if quick else 5)
        idle = max(rss_mb(pid) for pid in work.agents().values())
        rows.append(Row("RSS of traffic-agent, nothing intercepted", "MB", idle, None, 8, 4, False))
        rows += compare(work, rounds, 0.6 if quick else 1.0)
        rows += idle_agent(work, 1 if quick else TURNS, 4 if quick else SLICES)
    finally:
        stop_process(local)
    text = "A Deployment of two pods; its caller is a third one."
    return Section("Intercepts", text, rows)
