# SPDX-License-Identifier: Apache-2.0
"""A broken component is named with what it said; a killed `up` leaves nothing after `down`."""

import pathlib
import re
import shutil
import subprocess
import time

import pytest
from conftest import COMMAND, REPOSITORY, cluster
from localcluster import binaries, lifecycle, plan, stock
from localcluster.shell import Failure
from test_lifecycle import machine, processes_of
from traces import assert_as


def broken_programs(folder, program, script):
    """A cache folder like the real one, but with one program that fails."""
    done = cluster("deps")
    real = pathlib.Path(done.stdout.strip())
    copy = folder / real.name
    shutil.copytree(real, copy, symlinks=True)
    (copy / program).unlink()
    (copy / program).write_text(script)
    (copy / program).chmod(0o755)
    for images in stock.archives(real)[0].parent.parent.glob("images-*"):
        (folder / images.name).symlink_to(images)


def test_a_component_that_keeps_ending_is_explained(state, name, tmp_path, monkeypatch):
    before = machine(name)
    broken_programs(tmp_path, "kube-apiserver", "#!/bin/sh\necho no such luck >&2\nexit 7\n")
    monkeypatch.setenv("TELEPRESENCE_CACHE", str(tmp_path))
    done = cluster("up", name, "--restart-delay", "0.2", check=False)
    assert done.returncode == 1
    assert "kube-apiserver on node1 keeps ending (exit 7)" in done.stderr
    assert "no such luck" in done.stderr
    cluster("down", name)
    assert_as(lambda: machine(name), before)


def test_a_component_that_runs_out_of_inotify_instances_names_the_limit():
    said = "kubelet on node1 keeps ending (exit 1)\n    failed to create watcher: too many open files"
    text = str(lifecycle.explained(Failure(said)))
    assert text.startswith(said)
    assert "sysctl -w fs.inotify.max_user_instances=" in text
    assert str(lifecycle.explained(Failure("no such luck"))) == "no such luck"


WITH_FEW = """
echo 5 >/proc/sys/user/max_inotify_instances
exec python3 -c 'from localcluster import lifecycle; lifecycle.check_inotify(2)'
"""


def test_too_few_inotify_instances_are_named_before_anything_is_made():
    lifecycle.check_inotify(1)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", WITH_FEW],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(REPOSITORY / "scripts")},
    )
    assert done.returncode != 0
    assert "2 nodes need 36 inotify instances, 5 are left" in done.stderr
    assert "sysctl -w fs.inotify.max_user_instances=" in done.stderr


def test_a_full_disk_is_named_before_anything_is_made(state, name):
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", state], check=True)
    try:
        said = refused("up", name)
        assert list(state.iterdir()) == []
    finally:
        subprocess.run(["umount", state], check=True)
        state.rmdir()
    assert re.search(rf"{state}: [01] MB are left, a node needs about 270", said), said


GOS = {"": "Go is missing", "go1.19.8": "is go1.19.8", "go2.0": ""}


@pytest.mark.parametrize("version", GOS)
def test_a_machine_without_the_right_go_is_told_what_to_install(version, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    if version:
        (tmp_path / "go").write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / "go").chmod(0o755)
    else:
        monkeypatch.setattr(binaries.shutil, "which", lambda *_, **__: None)
    if not GOS[version]:
        assert binaries.find_go() == (str(tmp_path / "go"), version)
        return
    with pytest.raises(Failure, match="install Go 1.26 or newer") as told:
        binaries.find_go()
    assert GOS[version] in str(told.value)


# Moments in the life of `up`: each file exists from some step on.
MOMENTS = ["cluster.json", "router/www/index.html", "nodes/node1/node.json", "nodes/node1/pid"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_of_an_up_that_was_killed(state, name, moment):
    before = machine(name)
    child = subprocess.Popen([COMMAND, "up", name], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (state / name / moment).exists():
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.kill()
    child.wait()
    child.stderr.close()
    assert (state / name).is_dir()
    assert "removed" in cluster("down", name).stderr
    assert_as(lambda: machine(name), before)
    assert processes_of(name) == []


def test_down_of_nothing_is_no_error(state, name):
    done = cluster("down", name)
    assert "there is no cluster" in done.stderr


def test_commands_on_no_cluster_say_what_to_do(state, name):
    done = cluster("status", name, check=False)
    assert done.returncode == 1
    assert f"scripts/cluster up {name}" in done.stderr


def test_options_after_kubectl_are_those_of_kubectl(state, name):
    done = cluster("kubectl", "--cluster", name, "-n", "x", "get", "pods", check=False)
    assert done.returncode == 1
    assert "there is no cluster" in done.stderr
    assert "administrator" in cluster("kubectl", "--help").stdout


def test_wrong_usage(state):
    for words in (["--nodes", "99"], ["--nodes", "x"], ["--restart-delay", "x"], ["--restart-delay", "nan"]):
        done = cluster("up", *words, check=False)
        assert done.returncode == 2 and f"argument {words[0]}: {words[1]!r}: " in done.stderr, done.stderr
    assert cluster("nonsense", check=False).returncode == 2
    for bad in ("A", "a_b", "x" * 25, "a/../b", "a-", ""):
        done = cluster("up", bad, check=False)
        assert done.returncode == 1 and "lower-case letters" in done.stderr, bad


def refused(*words):
    """What a command says that fails, in lines of its own and not those of a program that broke."""
    done = cluster(*words, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_commands_on_a_cluster_that_does_not_run_say_so(state, name):
    """As an `up` leaves it that was killed early."""
    (state / name).mkdir(parents=True)
    plan.Plan(name, 0).save()
    of = ("--cluster", name)
    for words in (["kubectl", *of, "get", "pods"], ["kubeconfig", *of], ["load", *of, "/dev/null"]):
        assert f"cluster {name} does not run" in refused(*words)
    assert "no log of 'etcd'; there are: none yet" in refused("logs", *of, "etcd")
    assert "no node 'node7'; there are: node1" in refused("logs", *of, "--node", "node7", "etcd")
    cluster("down", name)
    assert not (state / name).exists()
