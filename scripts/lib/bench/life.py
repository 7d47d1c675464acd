# SPDX-License-Identifier: Apache-2.0
"""life - how long connect and quit take, what idle daemons weigh, and what a cut of the path does"""

import subprocess
import time

from .cluster import PORT
from .machine import median, rss_mb, run, timed, wait_for
from .report import Row, Section

# Without traffic for so long a process is idle: both daemons give memory back some seconds after the last of it.
IDLE_SECONDS = 20
CUT_SECONDS = 6
STREAMS = 8


def times(rig, rounds):
    cold, warm, leave = [], [], []
    for _ in range(rounds):
        rig.laptop("sh", "-c", "telepresence quit -s || true")
        cold.append(timed(lambda: rig.telepresence("connect")))
        leave.append(timed(lambda: rig.telepresence("quit")))
        warm.append(timed(lambda: rig.telepresence("connect")))
    for figure, values, must, good in (
        ("connect, both daemons stopped", cold, 1.0, 0.5),
        ("connect after quit", warm, 0.6, 0.3),
        ("quit", leave, 0.5, 0.2),
    ):
        yield Row(figure, "s", median(values), None, must, good, False)


def idle_rows(rig, quick):
    time.sleep(2 if quick else IDLE_SECONDS)
    for name, pid in rig.pids().items():
        yield Row(f"RSS of {name}, connected and idle", "MB", rss_mb(pid), None, 8, 4, False)


def cut_rows(rig):
    """Streams that are open while every frame of the path is lost, and when a new connection works again."""
    rig.cable.wan(1)
    rig.connect()
    pump = rig.laptop_process("/usr/bin/python3", "-c", HOLD, rig.ip, STREAMS)
    try:
        wait_for("the streams", lambda: run(["ss", "-N", rig.netns, "-Htn", "dst", rig.ip]).count("ESTAB") >= STREAMS)
        rig.cable.cut()
        time.sleep(CUT_SECONDS)
        rig.cable.uncut()
        back = time.monotonic()
        wait_for("a new connection", lambda: connects(rig), 30)
        again = time.monotonic() - back
        survived = pump.wait(20)
    finally:
        if pump.poll() is None:
            pump.kill()
            pump.wait()
        rig.cable.no_wan()
    yield Row(f"streams that survive a cut of {CUT_SECONDS} s", "%", 100 * survived / STREAMS, None, 100, 100)
    yield Row(f"a new connection after a cut of {CUT_SECONDS} s", "s", again, None, 1.0, 1.0, False)


# Ends with the number of its connections that still answer after the cut.
HOLD = f"""
import socket, sys, time
held = [socket.create_connection((sys.argv[1], 9000)) for _ in range(int(sys.argv[2]))]
for one in held:
    one.sendall(b"E\\nx")
    assert one.recv(1) == b"x"
time.sleep({CUT_SECONDS} + 3)
alive = 0
for one in held:
    one.settimeout(3)
    try:
        one.sendall(b"y")
        alive += one.recv(1) == b"y"
    except OSError:
        pass
sys.exit(alive)
"""


def connects(rig):
    argv = ["ip", "netns", "exec", rig.netns, "timeout", "0.5", "nc", "-zv", rig.ip, PORT]
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def section(rounds, quick, rig):
    rows = [*times(rig, rounds), *idle_rows(rig, quick), *cut_rows(rig)]
    text = "On the local cluster, by services/proxy. No baseline: the figures themselves have targets."
    return Section("Life cycle", text, rows)
