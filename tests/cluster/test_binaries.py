# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' programs: built once, and used afterwards whatever became of Go."""

import os
import subprocess

import pytest
from conftest import COMMAND
from localcluster import binaries
from localcluster.shell import Failure


@pytest.fixture(scope="module")
def built():
    return binaries.ensure()


def without_go(*words):
    """Runs scripts/cluster where no folder that Go is looked for in has anything."""
    hide = "for d in /usr/local/go /usr/lib/go; do [ ! -d $d ] || mount -t tmpfs none $d; done"
    script = f'{hide}; PATH=/usr/sbin:/usr/bin:/sbin:/bin exec "$0" "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, COMMAND, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_what_is_built_needs_no_go_any_more(built):
    done = without_go("deps")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(built)
    assert {"kubenode", "coredns", "kubectl"} <= set(os.listdir(built))


def test_without_go_and_without_programs_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("TELEPRESENCE_CACHE", str(tmp_path))
    # Programs of other sources are not these.
    other = tmp_path / ("0" * binaries.KEY_LENGTH)
    other.mkdir()
    (other / "kubenode").write_bytes(b"\0go1.26.1\0")
    done = without_go("deps")
    assert done.returncode == 1
    assert "Go is missing: install Go" in done.stderr


def test_a_go_that_is_too_old_is_no_obstacle_either(built, tmp_path, monkeypatch):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go1.19.8\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failure, match=r"go1\.19\.8: install Go"):
        binaries.find_go()
    assert binaries.ensure() == built
