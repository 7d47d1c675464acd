# SPDX-License-Identifier: Apache-2.0
"""The image of the in-cluster programs: small, the same each time, and nothing in it but what runs."""

import gzip
import io
import json
import os
import tarfile

import pytest
from conftest import ROOT, run


def build(path):
    out = run([ROOT / "scripts/image", "--output", path], timeout=1200).stdout
    return out.split()


@pytest.fixture(scope="module")
def archive(product, tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.tar"
    name, digest, *_ = build(path)
    return path, name, digest


def blob(tar, digest):
    return tar.extractfile("blobs/" + digest.replace(":", "/")).read()


def layers(path):
    """The config and the members of all layers of an OCI archive."""
    with tarfile.open(path) as tar:
        index = json.load(tar.extractfile("index.json"))
        manifest = json.loads(blob(tar, index["manifests"][0]["digest"]))
        config = json.loads(blob(tar, manifest["config"]["digest"]))
        members = []
        for layer in manifest["layers"]:
            data = blob(tar, layer["digest"])
            data = gzip.decompress(data) if layer["mediaType"].endswith("gzip") else data
            members += tarfile.open(fileobj=io.BytesIO(data)).getmembers()
    return config, members


def test_same_input_same_digest(archive, tmp_path):
    path, name, digest = archive
    again = tmp_path / "again.tar"
    assert build(again)[:2] == [name, digest]
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("output", "said"), [("no/where.tar", "no such folder"), (".", "a folder"), ("pipe", "not a file")])
def test_an_output_that_cannot_be_is_refused_before_the_build(output, said, tmp_path):
    # Putting the archive in its place would have replaced it, or /dev/null.
    os.mkfifo(tmp_path / "pipe")
    done = run([ROOT / "scripts/image", "--output", tmp_path / output], check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_no_path_of_the_build_is_in_the_programs(product):
    """The same sources give the same bytes, wherever they lie and whichever cache the compiler asks."""
    for name in ("manager/traffic-manager", "agent/traffic-agent"):
        data = (product / "src" / name).read_bytes()
        assert b"./src/" in data and b"../src/" not in data and str(ROOT).encode() not in data, name


def test_at_most_15_megabytes(archive):
    assert archive[0].stat().st_size <= 15_000_000


def test_holds_the_programs_their_libraries_and_no_shell(archive):
    config, members = layers(archive[0])
    assert config["config"]["Entrypoint"] == ["/traffic-manager"]
    assert config["config"]["User"].split(":")[0] == "65532"
    files = {member.name.strip("/") for member in members if member.isfile()}
    libraries = {name for name in files if ".so" in name}
    assert any("libc.so.6" in name for name in libraries)
    assert files - libraries == {"traffic-manager", "traffic-agent", "etc/passwd", "etc/group", "etc/nsswitch.conf"}
    assert all(member.mtime == 0 and member.uid == 0 for member in members)
