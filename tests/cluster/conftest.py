# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of scripts/cluster: a state folder and a cluster name of their own."""

import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

COMMAND = str(REPOSITORY / "scripts" / "cluster")


def cluster(*words, check=True, timeout=300):
    """Runs scripts/cluster; the state folder is the one in the environment."""
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=timeout)
    if check:
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder outside /tmp's long names; gone again when the last cluster is."""
    folder = pathlib.Path(f"/run/tp-test-{os.getpid()}")
    before = os.environ.get("TELEPRESENCE_STATE")
    os.environ["TELEPRESENCE_STATE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TELEPRESENCE_STATE"]
    else:
        os.environ["TELEPRESENCE_STATE"] = before


@pytest.fixture
def name():
    return f"t{os.getpid()}"
