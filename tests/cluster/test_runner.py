# SPDX-License-Identifier: Apache-2.0
"""What scripts/test is made of: lanes that end badly are seen, files are dealt once, clean files are remembered."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

LIB = REPOSITORY / "scripts" / "lib"
CPU = pathlib.Path("/sys/fs/cgroup/cpu")
sys.path.insert(0, str(LIB))

import tidy  # noqa: E402  (found by the line above)


def run_lanes(out, *lines):
    """The reports, by suite, of lanes.py over lines of (lane, suite, shell command)."""
    text = "".join(f"{lane}\tnormal\t{suite}\tsh\t-c\t{command}\n" for lane, suite, command in lines)
    env = {name: value for name, value in os.environ.items() if name != "TP_TEST_PATTERN"}
    argv = [LIB / "lanes.py", out]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return {path.stem: path.read_text() for path in out.glob("*.report")}, done.stdout


def test_suites_of_a_lane_follow_each_other_and_lanes_do_not_wait(tmp_path):
    order, fifo = tmp_path / "order", tmp_path / "fifo"
    os.mkfifo(fifo)
    # The first lane can only go on once the second one runs.
    reports, said = run_lanes(
        tmp_path,
        ("one", "a", f"read x <{fifo}; echo a >>{order}; echo '0 one 1' | tr ' ' '\\t'"),
        ("one", "b", f"echo b >>{order}; echo '0 two 1' | tr ' ' '\\t'"),
        ("two", "c", f"echo go >{fifo}; echo '1 three 1' | tr ' ' '\\t'; echo why >&2; exit 1"),
    )
    assert order.read_text() == "a\nb\n"
    assert reports == {"a": "0\tone\t1\n", "b": "0\ttwo\t1\n", "c": "1\tthree\t1\n"}
    assert "=== c ===\nwhy\n" in said


def test_idle_suites_get_what_the_others_leave(tmp_path):
    line = "one\tidle\ta\tsh\t-c\tnice >&2; cat /proc/self/cgroup >&2; printf '0\\tx\\t0\\n'\n"
    done = subprocess.run([LIB / "lanes.py", tmp_path], input=line, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1] == "19"
    group = re.search(r"cpu:/(telepresence-idle-\d+)$", done.stdout, re.MULTILINE)
    assert (group is not None) == (CPU / "cpu.idle").exists()
    assert group is None or not (CPU / group[1]).exists(), "it is left"


@pytest.mark.parametrize(
    ("suite", "command", "expected"),
    [
        ("killed", "kill -9 $$", "1\tended without a failed test: killed by signal 9\t0\n"),
        ("failing", "exit 3", "1\tended without a failed test: exit 3\t0\n"),
        ("empty", "true", "1\tno test ran\t0\n"),
        ("cluster-2", "true", ""),
        ("cluster-2", "exit 4", "1\tended without a failed test: exit 4\t0\n"),
    ],
)
def test_a_suite_that_ends_badly_is_a_failed_test(tmp_path, suite, command, expected):
    reports, _ = run_lanes(tmp_path, ("one", suite, command), ("one", "next", "printf '0\\tx\\t0\\n'"))
    assert reports == {suite: expected, "next": "0\tx\t0\n"}


TESTS = """
import pathlib, pytest
LOG = pathlib.Path(__file__).with_name("log")

@pytest.fixture(scope="module", autouse=True)
def whole():
    yield
    with LOG.open("a") as log:
        log.write("end of NAME\\n")

@pytest.mark.parametrize("number", range(3))
def test_one(number):
    with LOG.open("a") as log:
        log.write(f"NAME {number}\\n")
    assert "NAME" != "test_c" or number != 1
"""


def test_files_are_dealt_once_and_stay_whole(tmp_path):
    folder, dealt = tmp_path / "tests", tmp_path / "dealt"
    folder.mkdir()
    dealt.mkdir()
    for name in ("test_a", "test_b", "test_c", "test_d"):
        (folder / f"{name}.py").write_text(TESTS.replace("NAME", name))
    env = {
        **os.environ,
        **{"TP_TEST_DEAL": str(dealt), "TELEPRESENCE_CACHE": str(tmp_path), "PYTHONPATH": str(LIB)},
    }
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "dealt"]
    hands = [
        subprocess.Popen(
            [*argv, "--junitxml", tmp_path / f"{hand}.xml", folder],
            env=env,
            stdout=subprocess.DEVNULL,
        )
        for hand in range(2)
    ]
    codes = [hand.wait(60) for hand in hands]
    assert sorted(codes) == [0, 1]
    lines = (folder / "log").read_text().splitlines()
    for name in ("test_a", "test_b", "test_c", "test_d"):
        mine = [line for line in lines if name in line]
        assert mine == [f"{name} 0", f"{name} 1", f"{name} 2", f"end of {name}"]
    told = ""
    for hand in range(2):
        junit = [sys.executable, LIB / "junit.py", tmp_path / f"{hand}.xml"]
        told += subprocess.run(junit, capture_output=True, text=True, check=True).stdout
    words = sorted(line.split("\t")[0] for line in told.splitlines())
    assert words == ["0"] * 11 + ["1"]


PLAN = "tests.cluster.test_plan"
CASE = f'<testcase classname="{PLAN}" name="{{name}}"><{{how}} message="{{message}}"/></testcase>'
FAILED = [
    ("test_slow", "failure", "assert 2 &lt; 1"),
    ("test_left", "error", "failed on teardown with something that is left"),
    ("test_not", "skipped", "no such program"),
]


def row(result, name):
    return f"{result}\t{PLAN}/{name}\t1"


def again(what, out):
    argv = [sys.executable, LIB / "again.py", what, out]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def failed_run(out, failed):
    cases = "".join(CASE.format(name=name, how=how, message=message) for name, how, message in failed)
    (out / "netns.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    rows = [row(0, "test_fine"), *(row(1, f"{name} ({how})") for name, how, _ in failed)]
    (out / "netns.report").write_text("".join(f"{line}\n" for line in rows))


def test_what_failed_beside_others_is_tried_once_more_alone_and_named(tmp_path):
    failed_run(tmp_path, FAILED)
    (line,) = again("choose", tmp_path).splitlines()
    assert line.split("\t")[:3] == ["again", "normal", "again-cluster"]
    assert line.split("\t")[4:] == [str(tmp_path / "again-cluster.xml"), "", "tests/cluster/test_plan.py::test_slow"]
    (tmp_path / "again-cluster.report").write_text(row(0, "test_slow") + "\n")
    again("settle", tmp_path)
    assert [path.name for path in tmp_path.glob("*.report")] == ["netns.report"], "it would be counted twice"
    assert (tmp_path / "netns.report").read_text().splitlines() == [
        row(0, "test_fine"),
        row(0, "test_slow (unsteady)"),
        row(1, "test_left (error)"),
        row(1, "test_not (skipped)"),
    ]


def test_what_fails_again_stays_failed(tmp_path):
    failed_run(tmp_path, FAILED[:1])
    before = (tmp_path / "netns.report").read_text()
    (tmp_path / "again-cluster.report").write_text(row(1, "test_slow (failure)") + "\n")
    again("settle", tmp_path)
    assert (tmp_path / "netns.report").read_text() == before


@pytest.mark.parametrize("more", ["0\tfine\t1\n", "1\tclang: src/a.c\t1\n"])
def test_many_failures_are_no_accident(tmp_path, more):
    failed_run(tmp_path, [(f"test_{number}", "failure", "") for number in range(3)])
    (tmp_path / "style.report").write_text(more)
    assert bool(again("choose", tmp_path)) == more.startswith("0")


SOURCE = '#include "one.h"\nint main(void) { return ONE; }\n'


def test_a_verdict_is_forgotten_with_any_byte_it_depends_on(tmp_path):
    source, header, deep = (tmp_path / name for name in ("main.c", "one.h", "two.h"))
    command = f"cc -I{tmp_path} -c {source}"

    def key(common=b"", command=command):
        tidy.read.cache_clear()
        tidy.includes.cache_clear()
        return tidy.key(source, command, common)

    source.write_text(SOURCE)
    header.write_text('  #  include "two.h"\n')
    deep.write_text("#define ONE 1\n")
    first = key()
    assert key() == first
    deep.write_text("#define ONE 2\n")
    second = key()
    keys = {first, second, key(common=b"x"), key(command=command + " -DX")}
    source.write_text(SOURCE + "\n")
    keys.add(key())
    assert len(keys) == 5
    deep.write_text("#define ONE 1\n")
    source.write_text(SOURCE)
    assert key() == first


def test_complaints_are_shown_again_and_clean_files_are_not_looked_at(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELEPRESENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tidy, "ROOT", tmp_path)
    tool, log = tmp_path / "tool", tmp_path / "log"
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit\nfor last; do :; done\necho "$last" >>{log}\n'
        'case $last in *bad.c) echo "$last:1:1: error: bad"; exit 1 ;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setattr(tidy, "TIDY", str(tool))
    (tmp_path / "compile_commands.json").write_text("[]")
    for name in (".clang-tidy", "good.c", "bad.c"):
        (tmp_path / name).write_text("\n")
    for _ in range(2):
        assert tidy.main(tmp_path, ["good.c", "bad.c"]) == 1
        assert "bad.c:1:1: error: bad" in capsys.readouterr().out
    looked_at = [pathlib.Path(line).name for line in log.read_text().splitlines()]
    assert sorted(looked_at) == ["bad.c", "bad.c", "good.c"]
