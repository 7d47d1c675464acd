# SPDX-License-Identifier: Apache-2.0
"""chain - through the API server by both carriers, over short, long and thin paths, with 1, 8 and 64 flows"""

from . import plot
from .cluster import CARRIERS, SPDY
from .machine import GIB, Watch, cpu_seconds, load_words, median
from .report import Row, Section

# Name: delay each way in ms, Mbit/s, loss, queue in KB (or the short cable); seconds, and seconds before them.
PATHS = {
    "0 ms": (None, 1.2, 0.3),
    "20 ms, 1 Gbit/s": ((10, 1000, 0, 4000), 1.4, 0.9),
    "40 ms, 100 Mbit/s": ((20, 100, 0, 512), 1.8, 2.5),
}
FLOWS = (1, 8, 64)
WAYS = ("down", "up")
BULK = {
    "0 ms": {"services/proxy": (0.40, 0.55), "port-forward": (0.85, 0.95)},
    "20 ms, 1 Gbit/s": dict.fromkeys(CARRIERS, (0.90, 0.97)),
    "40 ms, 100 Mbit/s": dict.fromkeys(CARRIERS, (0.97, 1.0)),
}
# Small requests beside bulk, over the same alone: p50, p99.
BESIDE = {8: ((1.8, 1.4), (4.0, 2.0)), 64: ((2.0, 1.4), (None, None))}


class Path:
    """What was measured over one path by one carrier."""

    def __init__(self):
        self.values = {}
        self.rss = {}

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)

    def __getitem__(self, name):
        return median(self.values[name])

    def watch(self, watch):
        for name, value in watch.peak.items():
            self.rss[name] = max(self.rss.get(name, 0.0), value)


def measure_round(rig, carrier, path, seconds, warm, pids):
    for way in WAYS:
        path.add(f"raw {way}", rig.raw(carrier, *load_words(way, 1, seconds, warm))["mb_per_s"])
        if carrier == "port-forward":
            path.add(f"spdy {way}", rig.raw(SPDY, *load_words(way, 1, seconds, warm))["mb_per_s"])
    path.add("raw idle", rig.raw(carrier, *load_words("down", 0, seconds / 2, 0.2))["p50_us"] / 1000)
    idle = rig.tcp(*load_words("down", 0, seconds, 0.2))
    for key in ("p50_us", "p99_us"):
        path.add(f"idle {key}", idle[key] / 1000)
    path.add("idle per_second", idle["per_second"])
    for flows in FLOWS:
        for way in WAYS:
            with Watch(pids) as watch:
                got = rig.tcp(*load_words(way, flows, seconds, warm))
            path.add(f"{way} {flows}", got["mb_per_s"])
            for key in ("p50_us", "p99_us"):
                # No answer in the whole time: at least so long.
                path.add(f"{way} {flows} {key}", got.get(key, seconds * 1e6) / 1000)
            if flows == 64:
                path.watch(watch)


def extra_round(rig, path, seconds, gigabytes, pids):
    """Without delay only: CPU by the byte, the rate of connections, and a reader that stands still."""
    for way in WAYS:
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        rig.tcp(way, int(gigabytes * GIB))
        for name, pid in pids.items():
            path.add(f"cpu {way} {name}", (cpu_seconds(pid) - before[name]) / gigabytes)
    path.add("connects", rig.tcp("connect", 500)["per_second"])
    for kind, stalled in (("alone", 0), ("stalled", 1)):
        got = rig.tcp(*load_words("down", 1, seconds, 0.5, stalled))
        path.add(f"{kind} bulk", got["mb_per_s"])
        path.add(f"{kind} asked", got.get("per_second", 0.0))


def plural(flows):
    return f"{flows} flow{'s' * (flows > 1)}"


def bulk_rows(carrier, name, path):
    must, good = BULK[name][carrier]
    for flows in FLOWS:
        for way in WAYS:
            figure = f"{name}: bulk, {way}, {plural(flows)}, over the raw pump"
            yield Row(figure, "MB/s", path[f"{way} {flows}"], path[f"raw {way}"], must, good)
            if carrier == "port-forward":
                yield Row(f"{figure} by SPDY", "MB/s", path[f"{way} {flows}"], path[f"spdy {way}"])


def request_rows(name, path, targets):
    yield Row(f"{name}: small request alone, over the raw pump", "ms p50", path["idle p50_us"], path["raw idle"])
    if name.startswith("40 ms"):
        added = path["idle p50_us"] - path["raw idle"]
        yield Row(f"{name}: added to a small request", "ms p50", added, None, 1.5, 0.5, more_is_better=False)
    for flows, limits in BESIDE.items():
        for way in WAYS:
            for key, (must, good) in zip(("p50", "p99"), limits, strict=True):
                figure = f"{name}: small request under {plural(flows)} {way}, over alone"
                if not targets:
                    must, good = None, None
                yield Row(
                    figure, f"ms {key}", path[f"{way} {flows} {key}_us"], path[f"idle {key}_us"], must, good, False
                )


def extra_rows(path, pids):
    for way in WAYS:
        for name in pids:
            yield Row(f"CPU of {name}, {way}", "s/GiB", path[f"cpu {way} {name}"])
    yield Row("small requests alone", "1-byte/s", path["idle per_second"])
    yield Row("connect, one byte there and back, close", "connections/s", path["connects"])
    for name, unit in (("bulk", "MB/s"), ("asked", "1-byte/s")):
        figure = {"bulk": "bulk", "asked": "small requests"}[name]
        figure += " beside a stalled reader, over without it"
        yield Row(figure, unit, path[f"stalled {name}"], path[f"alone {name}"], 0.9, 1.0)


def rss_rows(paths, pids):
    for name in pids:
        largest = max(path.rss.get(name, 0.0) for path in paths.values())
        yield Row(f"RSS of {name} with 64 busy streams, largest of all paths", "MB", largest, None, 64, 32, False)


def plots(carrier, paths):
    slug = carrier.replace("/", "-")
    for way in WAYS:
        series = {"raw pump": [path[f"raw {way}"] for path in paths.values()]}
        series |= {plural(n): [path[f"{way} {n}"] for path in paths.values()] for n in FLOWS}
        title = f"Bulk {way} by {carrier}"
        yield f"{slug}-{way}.svg", title, plot.bars(title, "MB/s", list(paths), series)
    series = {"alone": [path["idle p50_us"] for path in paths.values()]}
    for flows in (8, 64):
        series[f"under {plural(flows)} down"] = [path[f"down {flows} p50_us"] for path in paths.values()]
    title = f"A small request by {carrier}, p50"
    yield f"{slug}-requests.svg", title, plot.bars(title, "ms", list(paths), series)


def section_of(carrier):
    def section(rounds, quick, rig):
        rows, paths = [], {}
        for name, (wan, seconds, warm) in PATHS.items():
            rig.cable.wan(*wan) if wan else rig.cable.no_wan()
            rig.connect(carrier)
            pids = rig.pids()
            paths[name] = path = Path()
            for _ in range(rounds):
                measure_round(rig, carrier, path, seconds * (0.6 if quick else 1), warm, pids)
                if wan is None:
                    extra_round(rig, path, seconds, 0.25 if quick else 0.5, pids)
            rows += bulk_rows(carrier, name, path)
            rows += request_rows(name, path, targets=wan is not None)
            if wan is None:
                rows += extra_rows(path, pids)
        rows += rss_rows(paths, pids)
        rig.cable.no_wan()
        text = """
TLS to the API server, which relays to the manager's pod. Baseline: a raw byte pump through the same carrier, one connection.
The path between laptop and API server is veth, or `tests/wan/wan.c`."""
        if carrier == "port-forward":
            text += """
The targets are for a port-forward by WebSocket (`v4.channel.k8s.io`); by SPDY, as the product asks for it first (docs/tunnel.md),
the raw pump is faster, too: those rows have no target."""
        return Section(f"Through the API server by {carrier}", text, rows, list(plots(carrier, paths)))

    return section
