# SPDX-License-Identifier: Apache-2.0
"""dealt - a pytest plugin: several pytest processes share out the files of one folder

With TP_TEST_DEAL=FOLDER each process takes the next file that no other has taken (a file made with O_EXCL there says
so), the slowest first as far as an earlier run told. A file's tests stay together, in their order.
"""

import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from localcluster.plan import cache_root  # noqa: E402  (found by the line above)

SECONDS = cache_root() / "test-seconds"
SECONDS_OF_UNKNOWN = 30.0
# What the fixtures of the whole run have taken so far: no file's own.
shared_s = 0.0


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef):
    global shared_s
    start = time.monotonic()
    yield
    if fixturedef.scope == "session":
        shared_s += time.monotonic() - start


def _seconds_before(path):
    try:
        return float((SECONDS / path.name).read_text())
    except (OSError, ValueError):
        return SECONDS_OF_UNKNOWN


def _remember(path, seconds):
    if os.environ.get("TP_TEST_PATTERN"):
        return  # of some of its tests
    SECONDS.mkdir(parents=True, exist_ok=True)
    (SECONDS / path.name).write_text(f"{seconds:.1f}\n")


def _take(path):
    try:
        taken = pathlib.Path(os.environ["TP_TEST_DEAL"], path.name)
        os.close(os.open(taken, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    except FileExistsError:
        return False
    return True


def _dealt(items):
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    for path in sorted(files, key=lambda path: (-_seconds_before(path), path)):
        if _take(path):
            yield from files[path]


def _seconds_of(item, following):
    """Runs a test."""
    start, shared = time.monotonic(), shared_s
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return time.monotonic() - start - (shared_s - shared)


def pytest_runtestloop(session):
    if "TP_TEST_DEAL" not in os.environ or session.testsfailed or session.config.option.collectonly:
        return None  # pytest's own loop
    items = _dealt(session.items)
    item = next(items, None)
    seconds = 0.0
    while item is not None:
        # The next file is taken while the last test of this one runs: fixtures end by what comes next.
        following = next(items, None)
        seconds += _seconds_of(item, following)
        if following is None or following.path != item.path:
            _remember(item.path, seconds)
            seconds = 0.0
        if session.shouldfail or session.shouldstop:
            raise session.Interrupted(session.shouldfail or session.shouldstop)
        item = following
    return True
