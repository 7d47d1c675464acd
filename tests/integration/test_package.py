# SPDX-License-Identifier: Apache-2.0
"""What `cpack` makes: a tarball and a .deb that bring all that a person's machine needs, and nothing else."""

import os
import re
import tarfile

import pytest
from conftest import ROOT, run

MAX_BYTES = 2 << 20
PROGRAMS = ["bin/telepresence", "bin/telepresence-rootd"]
FILES = [
    *PROGRAMS,
    "share/bash-completion/completions/telepresence",
    "share/doc/telepresence/LICENSE",
    "share/fish/vendor_completions.d/telepresence.fish",
    "share/man/man1/telepresence.1",
    "share/man/man8/telepresence-rootd.8",
    "share/zsh/vendor-completions/_telepresence",
]


@pytest.fixture(scope="module")
def packages(product, tmp_path_factory):
    """The paths of the tarball and the .deb."""
    folder = tmp_path_factory.mktemp("packages")
    # A careful person's umask is none of what is packed.
    run(["cpack", "--config", product / "CPackConfig.cmake", "-B", folder], cwd=product, umask=0o077)
    (deb,), (tarball,) = folder.glob("*.deb"), folder.glob("*.tar.gz")
    return tarball, deb


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_both_hold_the_same(packages, tmp_path):
    tarball, deb = packages
    run(["dpkg-deb", "-x", deb, tmp_path / "deb"])
    with tarfile.open(tarball) as tar:
        tar.extractall(tmp_path / "tar")
    (top,) = (tmp_path / "tar").iterdir()
    assert files_below(tmp_path / "deb/usr") == files_below(top) == sorted(FILES)
    folders = [top, *(path for path in (*top.rglob("*"), *(tmp_path / "deb").rglob("*")) if path.is_dir())]
    assert folders and all(path.stat().st_mode & 0o777 == 0o755 for path in folders)


def test_the_programs_are_small_stripped_and_run(packages, tmp_path):
    run(["dpkg-deb", "-x", packages[1], tmp_path])
    programs = [tmp_path / "usr" / name for name in PROGRAMS]
    assert sum(path.stat().st_size for path in programs) <= MAX_BYTES
    for path in programs:
        assert "not stripped" not in run(["file", path]).stdout and os.access(path, os.X_OK)
    assert "Client" in run([programs[0], "version"]).stdout


def test_dpkg_installs_and_removes_it(packages, tmp_path):
    """Into a root of its own: what it depends on is what this machine has to build with."""
    tarball, deb = packages
    depends = run(["dpkg-deb", "-f", deb, "Depends"]).stdout
    names = re.findall(r"([a-z0-9.+-]+)(?: \([^)]*\))?(?:, |$)", depends.strip())
    assert {"libc6", "libcurl4", "libmnl0", "libnftnl11", "libnl-3-200", "libnghttp2-14", "libuv1", "libssl3"} <= set(names)
    for name in names:
        status = run(["dpkg-query", "-W", "-f", "${Status}", name]).stdout
        assert status == "install ok installed", name
    for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "var/log"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name in ("status", "available"):
        (tmp_path / "var/lib/dpkg" / name).touch()
    dpkg = ["dpkg", f"--root={tmp_path}", "--log=/dev/null"]
    run([*dpkg, "--force-depends", "-i", deb])
    assert files_below(tmp_path / "usr") == sorted(FILES)
    run([*dpkg, "--purge", "telepresence"])
    assert files_below(tmp_path / "usr") == []
