# SPDX-License-Identifier: Apache-2.0
"""A node's own view of the machine is made while the rest of the machine goes on."""

import os
import subprocess

import pytest
from conftest import REPOSITORY

DETACH = """
import subprocess
from localcluster import sandbox
read = sandbox.read_text
def read_and_delete(path):
    text = read(path)
    subprocess.run(["nsenter", "--mount=/proc/{pid}/ns/mnt", "ip", "netns", "del", "{netns}"], check=True)
    return text
sandbox.read_text = read_and_delete
sandbox._detach_below("/run/netns")
"""


@pytest.fixture
def netns():
    name = f"tpt-{os.getpid()}-going"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def test_a_namespace_that_goes_meanwhile_is_in_nobodys_way(netns):
    code = DETACH.format(pid=os.getpid(), netns=netns)
    done = subprocess.run(
        ["unshare", "--mount", "/usr/bin/python3", "-B", "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(REPOSITORY / "scripts")},
    )
    assert done.returncode == 0, done.stderr
    assert not os.path.exists(f"/run/netns/{netns}")
