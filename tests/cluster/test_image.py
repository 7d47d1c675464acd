# SPDX-License-Identifier: Apache-2.0
"""Images: the same entries give the same bytes, and the archives hold what they say."""

import gzip
import hashlib
import io
import json
import os
import tarfile

import pytest
from localcluster.image import Entry, layer, write_docker_archive, write_oci_archive

ENTRIES = [
    Entry("usr/bin/tool", 0o755, data=b"#!/bin/sh\n"),
    Entry("etc/motd", 0o644, data=b"hello\n"),
    Entry("bin", target="usr/bin"),
    Entry("tmp", 0o1777),
]
SETTINGS = {"Entrypoint": ["/usr/bin/tool"]}


def members(archive):
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}


def test_layer_holds_entries_and_parents():
    with tarfile.open(fileobj=io.BytesIO(layer(ENTRIES))) as tar:
        kinds = {member.name: (member.type, member.mode) for member in tar.getmembers()}
        assert tar.extractfile("etc/motd").read() == b"hello\n"
        assert tar.getmember("bin").linkname == "usr/bin"
    assert kinds["usr/bin/tool"] == (tarfile.REGTYPE, 0o755)
    assert kinds["etc/motd"] == (tarfile.REGTYPE, 0o644)
    assert kinds["tmp"] == (tarfile.DIRTYPE, 0o1777)
    assert kinds["usr"] == kinds["usr/bin"] == kinds["etc"] == (tarfile.DIRTYPE, 0o755)


@pytest.mark.parametrize("write", [write_docker_archive, write_oci_archive])
def test_same_entries_same_bytes(write, tmp_path):
    source = tmp_path / "motd"
    source.write_bytes(b"hello\n")
    entries = [Entry("etc/motd", 0o644, source=source), *ENTRIES[:1], *ENTRIES[2:]]
    first = write(tmp_path / "a.tar", "node.local/x:1", ENTRIES, SETTINGS)
    os.utime(source, (1, 1))
    source.chmod(0o600)
    old_mask = os.umask(0o077)
    try:
        second = write(tmp_path / "b.tar", "node.local/x:1", entries[::-1], SETTINGS)
    finally:
        os.umask(old_mask)
    assert first == second
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_docker_archive_is_consistent(tmp_path):
    image_id = write_docker_archive(tmp_path / "a.tar", "node.local/x:1", ENTRIES, SETTINGS)
    files = members(tmp_path / "a.tar")
    (manifest,) = json.loads(files["manifest.json"])
    config = files[manifest["Config"]]
    assert image_id == "sha256:" + hashlib.sha256(config).hexdigest()
    assert manifest["RepoTags"] == ["node.local/x:1"]
    diff = "sha256:" + hashlib.sha256(files["layer.tar"]).hexdigest()
    assert json.loads(config)["rootfs"]["diff_ids"] == [diff]
    assert json.loads(config)["config"] == SETTINGS


def test_oci_archive_is_consistent(tmp_path):
    digest = write_oci_archive(tmp_path / "a.tar", "node.local/x:1", ENTRIES, SETTINGS)
    files = members(tmp_path / "a.tar")

    def blob(descriptor):
        data = files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert len(data) == descriptor["size"]
        assert descriptor["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
        return data

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (listed,) = json.loads(files["index.json"])["manifests"]
    assert listed["digest"] == digest
    assert listed["annotations"]["io.containerd.image.name"] == "node.local/x:1"
    manifest = json.loads(blob(listed))
    config = json.loads(blob(manifest["config"]))
    plain = gzip.decompress(blob(manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(plain).hexdigest()]
    assert plain == layer(ENTRIES)
