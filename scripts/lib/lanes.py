#!/usr/bin/python3 -IB
# SPDX-License-Identifier: Apache-2.0
"""lanes.py OUT: runs the suites that stdin names, in lanes beside each other

A line of stdin: LANE, "idle" or "normal", SUITE and the words of a command, separated by tabs. The suites of one lane run
one after the other; those that are idle get what the others leave of the processors. What a command says on stdout is
its report, "0|1<TAB>name<TAB>seconds" a test, kept as OUT/SUITE.report; what it says on stderr is shown when it has
ended. A command that fails without a failed test to show for it, or reports nothing, gets a failed test in its report,
and so no lane can end unseen.

Suites whose name ends in a digit are further hands on the same tests ("cluster-2"): they may find nothing left to do.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

RUNNING = set()
PRINTING = threading.Lock()
LOWEST = 19
# Whoever wakes up outside takes the processor from those inside at once, not when their slice ends: what is tested is
# often a chain of such wake-ups. Only the older cgroups have this without further ado.
IDLE = pathlib.Path(f"/sys/fs/cgroup/cpu/telepresence-idle-{os.getpid()}")


def make_idle_group():
    with contextlib.suppress(OSError):
        IDLE.mkdir()
        (IDLE / "cpu.idle").write_text("1")


def remove_idle_group():
    """Whether there is none any more: it stays for as long as there is somebody inside."""
    with contextlib.suppress(OSError):
        IDLE.rmdir()
    return not IDLE.exists()


def be_idle():
    """In the child. The priority counts for its session as a whole where the kernel groups processes by session."""
    os.nice(LOWEST)
    for path, text in ((pathlib.Path("/proc/self/autogroup"), str(LOWEST)), (IDLE / "cgroup.procs", "0")):
        with contextlib.suppress(OSError):
            path.write_text(text)


def note(path, text):
    with open(path, "a", encoding="utf-8") as report:
        report.write(f"1\t{text}\t0\n")


def run(out, priority, suite, command):
    report, log = out / f"{suite}.report", out / f"{suite}.log"
    start = time.monotonic()
    with open(report, "wb") as told, open(log, "wb") as said:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=said,
            start_new_session=True,
            preexec_fn=be_idle if priority == "idle" else None,
        )
        RUNNING.add(child)
        status = child.wait()
        RUNNING.discard(child)
    lines = report.read_text(encoding="utf-8", errors="replace").splitlines()
    if status != 0 and not any(line.startswith("1\t") for line in lines):
        how = f"killed by signal {-status}" if status < 0 else f"exit {status}"
        note(report, f"ended without a failed test: {how}")
    elif not lines and not re.search(r"-\d$", suite) and not os.environ.get("TP_TEST_PATTERN"):
        note(report, "no test ran")
    seconds = time.monotonic() - start
    (out / f"{suite}.seconds").write_text(f"{seconds:.0f}\n")
    with PRINTING:
        print(f"=== {suite} ===\n{log.read_text(encoding='utf-8', errors='replace')}{suite}: {seconds:.0f} s", flush=True)


def run_lane(out, suites):
    for priority, suite, command in suites:
        try:
            run(out, priority, suite, command)
        except Exception as error:  # whatever it is, it must be seen
            note(out / f"{suite}.report", f"could not be run: {error}")


def stop(*_):
    """Interrupted: nothing that was started goes on."""
    for child in list(RUNNING):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while not remove_idle_group() and time.monotonic() < until:
        time.sleep(0.05)
    os._exit(1)


def main(out):
    lanes = {}
    for line in sys.stdin:
        lane, priority, suite, *command = line.rstrip("\n").split("\t")
        lanes.setdefault(lane, []).append((priority, suite, command))
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    make_idle_group()
    threads = [threading.Thread(target=run_lane, args=(out, suites)) for suites in lanes.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remove_idle_group()


main(pathlib.Path(sys.argv[1]))
