# SPDX-License-Identifier: Apache-2.0
"""machine - running commands, and what /proc says about the processes that they cost"""

import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / "build/release/tests/bench"
PUMP = BUILD / "benchpump"
SERVER = BUILD / "pumpserver"
TUNNEL = BUILD / "benchtunnel"
GIB = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")
CUBIC = "net.ipv4.tcp_congestion_control=cubic"


class Failed(Exception):
    """Explained; scripts/bench prints it and goes on with the next section."""


def run(argv, stdin=None, timeout=300, check=True):
    argv = [str(arg) for arg in argv]
    feed = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **feed)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(argv)}: not within {timeout} s") from error
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def run_json(argv, **kwargs):
    return json.loads(run(argv, **kwargs))


def timed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def median(values):
    return statistics.median(values)


def wait_for(what, condition, seconds=30, pause=0.02):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(pause)
    return value


def describe():
    model = next(
        (l.split(":")[1].strip() for l in open("/proc/cpuinfo", encoding="utf-8") if l.startswith("model name")), "?"
    )
    memory = int(open("/proc/meminfo", encoding="utf-8").readline().split()[1]) // 1024 // 1024
    commit = run(["git", "-C", ROOT, "describe", "--always", "--dirty"], check=False).strip()
    return ", ".join(
        filter(None, (f"{os.cpu_count()} × {model}", f"{memory} GiB", f"Linux {platform.release()}", commit))
    )


def rss_mb(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds():
    """Of the whole machine, all its processors together: everything but idle and waiting for a disk."""
    fields = [int(word) for word in open("/proc/stat", encoding="utf-8").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


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


@contextlib.contextmanager
def cubic_allowed():
    """A namespace may choose only what the whole machine allows; afterwards that is as it was."""
    path = pathlib.Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
    before = path.read_text().split()
    path.write_text(" ".join(sorted({*before, "cubic"})))
    try:
        yield
    finally:
        path.write_text(" ".join(before))


class Watch:
    """The largest RSS of some processes while the block runs."""

    def __init__(self, pids):
        self.peak = dict.fromkeys(pids, 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, args=(dict(pids),), daemon=True)

    def _loop(self, pids):
        while not self._over.wait(0.1):
            for name, pid in pids.items():
                self.peak[name] = max(self.peak[name], rss_mb(pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def load_words(direction, flows, seconds, warm, stalled=0):
    """The words of `benchpump ... load`; 0 flows: only small requests."""
    return ["load", direction, flows, seconds, warm, stalled]
