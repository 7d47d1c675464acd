# SPDX-License-Identifier: Apache-2.0
"""veth - the product's flows and tunnel over one plain TCP connection, against the same path without them"""

from . import plot
from .machine import GIB, busy_seconds, cpu_seconds, load_words, median
from .report import Row, Section
from .spaces import DIRECT, TUNNELLED, Spaces

# Delay each way in ms, Mbit/s, loss in percent, queue in KB.
PATHS = {
    "100 Mbit/s, 40 ms": (20, 100, 0, 512),
    "100 Mbit/s, 100 ms": (50, 100, 0, 1300),
    "1 Gbit/s, 4 ms": (2, 1000, 0, 1000),
}
LOSS = (20, 100, 1, 512)
WAYS = (DIRECT, TUNNELLED)


class Samples:
    """Values of each round by name, as (without, with) the tunnel."""

    def __init__(self):
        self.values = {}

    def add(self, name, address, value):
        self.values.setdefault(name, ([], []))[WAYS.index(address)].append(value)

    def row(self, name, unit, figure=None, **targets):
        base, ours = map(median, self.values[name])
        return Row(figure or name, unit, ours, base, **targets)


def bare_rows(rounds, quick):
    samples = Samples()
    seconds = 0.6 if quick else 1.0
    gigabytes = 0.5 if quick else 1.5
    with Spaces() as spaces:
        for _ in range(rounds):
            for address in WAYS:
                bare_round(spaces, samples, address, seconds, gigabytes)
    row = samples.row
    rows = [
        row(f"bulk, {way}, {flows} flow{'s' * (flows > 1)}", "MB/s", must=0.25, good=0.40)
        for flows in (1, 8, 64)
        for way in ("down", "up")
    ]
    cost = "CPU of both daemons, {}, over the whole machine's without the tunnel"
    rows += [row(f"cpu {way}", "s/GiB", cost.format(way), must=2.5, good=1.6, more_is_better=False) for way in ("down", "up")]
    rows += [
        row("round trips", "1-byte/s", "small requests, nothing else running", must=0.45, good=0.65),
        row("connects", "connections/s", "connect, one byte there and back, close", must=0.33, good=0.45),
    ]
    for name, unit in (("bulk", "MB/s"), ("small requests", "1-byte/s")):
        without, beside = (median(samples.values[f"{kind}: {name}"][1]) for kind in ("alone", "stalled"))
        rows.append(Row(f"{name} beside a stalled reader, over without it", unit, beside, without, 0.9, 1.0))
    return rows


def bare_round(spaces, samples, address, seconds, gigabytes):
    for flows in (1, 8, 64):
        for way in ("down", "up"):
            got = spaces.pump(address, *load_words(way, flows, seconds, 0.3))
            samples.add(f"bulk, {way}, {flows} flow{'s' * (flows > 1)}", address, got["mb_per_s"])
    for way in ("down", "up"):
        size = int(gigabytes * GIB)
        busy, used = busy_seconds(), sum(map(cpu_seconds, spaces.pids.values()))
        spaces.pump(address, way, size)
        spent = busy_seconds() - busy if address == DIRECT else sum(map(cpu_seconds, spaces.pids.values())) - used
        samples.add(f"cpu {way}", address, max(spent, 0.001) / gigabytes)
    samples.add("round trips", address, spaces.pump(address, *load_words("down", 0, seconds, 0.2))["per_second"])
    samples.add("connects", address, spaces.pump(address, "connect", 1500)["per_second"])
    for kind, stalled in (("alone", 0), ("stalled", 1)):
        got = spaces.pump(address, *load_words("down", 1, seconds, 0.5, stalled))
        samples.add(f"{kind}: bulk", address, got["mb_per_s"])
        samples.add(f"{kind}: small requests", address, got.get("per_second", 0.0))


def shaped_rows(rounds, quick):
    rows, plotted = [], {}
    for name, wan in PATHS.items():
        samples = Samples()
        flows = 64 if name.startswith("1 Gbit") else 1
        # Until slow start is over: the longer the path, the later.
        warm = 0.4 + wan[0] * 0.04
        seconds = 1.5 if quick else 2
        with Spaces(wan) as spaces:
            for _ in range(rounds):
                for address in WAYS:
                    for way in ("down", "up"):
                        got = spaces.pump(address, *load_words(way, flows, seconds, warm))
                        samples.add(way, address, got["mb_per_s"] * 8)
                        samples.add(f"asked {way}", address, got.get("p50_us", 0.0) / 1000)
                    idle = spaces.pump(address, *load_words("down", 0, 1, 0.2))
                    samples.add("idle", address, idle.get("p50_us", 0.0) / 1000)
        for way in ("down", "up"):
            figure = f"{name}: bulk, {way}, {flows} flow{'s' * (flows > 1)}, over the path itself"
            rows.append(samples.row(way, "Mbit/s", figure, must=0.97, good=1.0))
            plotted[f"{name}, {way}"] = tuple(map(median, samples.values[way]))
        for way in ("down", "up"):
            figure = f"{name}: small request beside it, {way}, over the path itself with the same load"
            rows.append(samples.row(f"asked {way}", "ms p50", figure))
        base, ours = map(median, samples.values["idle"])
        targets = {"must": 1.5, "good": 0.5} if wan[0] == 20 else {}
        rows.append(Row(f"{name}: added to a small request", "ms p50", ours - base, more_is_better=False, **targets))
    return rows, plotted


def lossy_rows(rounds, quick):
    """BBR below the tunnel, as a direct carrier would choose it; the applications, and the baseline, have cubic. Only
    up: of the other direction the laptop decides nothing."""
    samples = Samples()
    with Spaces(LOSS, client_cc="bbr") as spaces:
        for _ in range(rounds):
            for address in WAYS:
                got = spaces.pump(address, *load_words("up", 1, 2 if quick else 4, 1.5))
                samples.add("up", address, max(got["mb_per_s"] * 8, 0.01))
    figure = "100 Mbit/s, 40 ms, 1 % loss: bulk, up, carrier with BBR, over cubic without the tunnel"
    return [samples.row("up", "Mbit/s", figure, must=10, good=20)]


def section(rounds, quick, **_):
    rows = bare_rows(rounds, quick)
    shaped, plotted = shaped_rows(rounds, quick)
    rows += shaped + lossy_rows(rounds, quick)
    series = {"path itself": [base for base, _ in plotted.values()], "tunnel": [ours for _, ours in plotted.values()]}
    picture = plot.bars("Bulk over a shaped path, plain TCP carrier", "Mbit/s", list(plotted), series)
    text = """
Three namespaces, no TLS, no Kubernetes: the daemons' own code (`tests/bench/tunnel.c`) between the laptop's TUN and the pod.
Baseline: the same connection routed instead, over veth or over `tests/wan/wan.c` with a drop-tail queue."""
    return Section("Plain TCP carrier", text, rows, [("veth.svg", "bulk over shaped paths", picture)])
