# SPDX-License-Identifier: Apache-2.0
"""The images that every cluster starts with, on a machine that has none of them yet."""

import os
import subprocess

import pytest
from conftest import REPOSITORY
from localcluster import binaries

MAKE = """
import pathlib
from localcluster import stock
print(*stock.archives(pathlib.Path("{programs}")), sep="\\n")
"""
AT_ONCE = 6


@pytest.fixture(scope="module")
def programs():
    return binaries.ensure()


def test_several_clusters_that_start_at_once_make_them_once(programs, tmp_path):
    env = {**os.environ, "TELEPRESENCE_CACHE": str(tmp_path), "PYTHONPATH": str(REPOSITORY / "scripts")}
    argv = ["/usr/bin/python3", "-B", "-c", MAKE.format(programs=programs)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    makers = [subprocess.Popen(argv, env=env, text=True, **pipes) for _ in range(AT_ONCE)]
    said = [maker.communicate(timeout=120) for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * AT_ONCE, [errors for _, errors in said]
    assert len({answer for answer, _ in said}) == 1
    paths = said[0][0].split()
    assert len(paths) == 4
    assert sorted(os.listdir(os.path.dirname(paths[0]))) == sorted(os.path.basename(path) for path in paths)
