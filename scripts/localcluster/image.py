# SPDX-License-Identifier: Apache-2.0
"""image - container images from a list of entries, written as docker-archive or OCI archive

The same entries give the same bytes on every run: no times, owners, umask or folder order get in.
No registry and no image tool is needed; `ctr images import` and `skopeo copy` read both forms.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One path in the image: a file (source or data), a link (target), or else a folder."""

    path: str
    mode: int = 0o755
    source: str | os.PathLike | None = None
    data: bytes | None = None
    target: str | None = None


def _header(path, kind, mode):
    header = tarfile.TarInfo(path)
    header.type = kind
    header.mode = mode
    return header


def _with_parents(entries):
    known = {entry.path.strip("/"): entry for entry in entries}
    for path in list(known):
        for parent in pathlib.PurePosixPath(path).parents:
            if str(parent) != ".":
                known.setdefault(str(parent), Entry(str(parent)))
    return [(path, known[path]) for path in sorted(known)]


def layer(entries):
    """The entries as an uncompressed tar file; parent folders are added where they are missing."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, entry in _with_parents(entries):
            if entry.target is not None:
                header = _header(path, tarfile.SYMTYPE, 0o777)
                header.linkname = entry.target
                tar.addfile(header)
                continue
            data = entry.data
            if entry.source is not None:
                data = pathlib.Path(entry.source).read_bytes()
            if data is None:
                tar.addfile(_header(path, tarfile.DIRTYPE, entry.mode))
                continue
            header = _header(path, tarfile.REGTYPE, entry.mode)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return packed.getvalue()


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _config(layer_data, settings):
    return _json(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer_data)}"]},
        }
    )


def _write_tar(path, files):
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            header = _header(name, tarfile.REGTYPE, 0o644)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    partial.rename(path)


def write_docker_archive(path, reference, entries, settings):
    """Writes a docker-archive of one layer; returns the image's id. Settings: Entrypoint, Env..."""
    data = layer(entries)
    config = _config(data, settings)
    image_id = _digest(config)
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = [("layer.tar", data), (f"{image_id}.json", config), ("manifest.json", _json(manifest))]
    _write_tar(path, files)
    return f"sha256:{image_id}"


def write_oci_archive(path, reference, entries, settings):
    """Writes an OCI archive with one compressed layer; returns the manifest's digest."""
    data = layer(entries)
    config = _config(data, settings)
    packed = gzip.compress(data, compresslevel=6, mtime=0)

    def descriptor(kind, content):
        media_type = f"application/vnd.oci.image.{kind}"
        return {
            "mediaType": media_type,
            "digest": f"sha256:{_digest(content)}",
            "size": len(content),
        }

    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", config),
            "layers": [descriptor("layer.v1.tar+gzip", packed)],
        }
    )
    listed = descriptor("manifest.v1+json", manifest)
    # containerd takes the whole name from the first, everybody else the tag from the second.
    listed["annotations"] = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    files = [("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))]
    files.append(("index.json", _json({"schemaVersion": 2, "manifests": [listed]})))
    for blob in (config, packed, manifest):
        files.append((f"blobs/sha256/{_digest(blob)}", blob))
    _write_tar(path, files)
    return listed["digest"]
