# SPDX-License-Identifier: Apache-2.0
"""binaries - what a cluster needs here: Debian packages, and Kubernetes built from source

kubenode is etcd, kubectl and Kubernetes' own components in one program. It and CoreDNS are built
once and kept in a folder named by a hash of all that goes into them. A machine without Go uses what
is there.
"""

import hashlib
import mmap
import os
import pathlib
import platform
import re
import shutil
import subprocess

from .plan import cache_root, filling_cache
from .shell import Failure, run, say, step

VERSION = "1.36.3"
GO_NEEDED = (1, 26)
GO_VERSION = re.compile(rb"go1\.[0-9]+(?:\.[0-9]+)?(?:rc[0-9]+)?")
KEY_LENGTH = 16
# Somebody else may be at it: a new machine updates itself first.
APT_LOCK_S = 300
SOURCES = pathlib.Path(__file__).resolve().parent
PROGRAMS = ("kubenode", "coredns")
NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
# A file that the package brings, and the package.
PACKAGES = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/sbin/conntrack": "conntrack",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/nft": "nftables",
    "/bin/busybox": "busybox-static",
    "/usr/sbin/dnsmasq": "dnsmasq-base",
    "/usr/bin/openssl": "openssl",
    "/bin/ip": "iproute2",
    "/usr/sbin/ethtool": "ethtool",
    "/sbin/sysctl": "procps",
    "/usr/bin/gcc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
}


def missing_packages():
    return [package for path, package in PACKAGES.items() if not os.path.exists(path)]


def install_packages():
    if not missing_packages():
        return
    with filling_cache():
        missing = missing_packages()
        if not missing:
            return
        with step(f"apt-get install {' '.join(missing)}"):
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            apt = ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={APT_LOCK_S}"]
            run([*apt, "update"], env=env)
            run([*apt, "-y", "install", "--no-install-recommends", *missing], env=env)


def find_go():
    """(path, version) of Go, or a Failure that says what to install."""
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    needed = ".".join(str(part) for part in GO_NEEDED)
    advice = (
        f"install Go {needed} or newer (https://go.dev/dl/, unpack to /usr/local) and try again"
    )
    if path is None:
        raise Failure(f"Kubernetes is built from source here and Go is missing: {advice}")
    version = run([path, "env", "GOVERSION"]).strip()
    match = re.match(r"go(\d+)\.(\d+)", version)
    if not match or (int(match[1]), int(match[2])) < GO_NEEDED:
        raise Failure(f"{path} is {version or 'of unknown version'}: {advice}")
    return path, version


def _key(go_version):
    digest = hashlib.sha256(f"{VERSION} {platform.machine()} {go_version}".encode())
    for program in PROGRAMS:
        for name in ("go.mod", "go.sum", "main.go"):
            digest.update((SOURCES / program / name).read_bytes())
    return digest.hexdigest()[:KEY_LENGTH]


def _build(go, program, output, flags):
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    # What a debugger would want to know is a third of the work, and left out of the program anyway.
    command = [go, "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags", flags]
    command += ["-o", str(output / program), "."]
    done = subprocess.run(command, cwd=SOURCES / program, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"building {program} failed; the last lines:\n{done.stderr[-2000:]}")


def _build_all(go, output):
    # kubelet and clients refuse to talk to a server whose version is not set.
    flags = ["-s", "-w"]
    major, minor, _ = VERSION.split(".")
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += ["-X", f"{package}.gitVersion=v{VERSION}", "-X", f"{package}.gitMajor={major}"]
        flags += ["-X", f"{package}.gitMinor={minor}", "-X", f"{package}.gitTreeState=clean"]
    with step("built kubenode"):
        _build(go, "kubenode", output, " ".join(flags))
    with step("built coredns"):
        _build(go, "coredns", output, "-s -w")
    for name in NAMES:
        (output / name).symlink_to("kubenode")


def built_before():
    """A folder with all programs, made of these very sources by whatever Go; None: there is none."""
    for folder in sorted(cache_root().glob("?" * KEY_LENGTH)):
        program = folder / "kubenode"
        if not program.is_file():
            continue
        with open(program, "rb") as stream:
            data = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
            versions = {match.decode() for match in GO_VERSION.findall(data)}
        # A program says by which Go it was made, among much else that looks like a version.
        if any(_key(version) == folder.name for version in versions):
            return folder
    return None


def ensure():
    """The folder with all programs, built first where it does not exist yet."""
    try:
        go, version = find_go()
    except Failure:
        # What has been built needs no compiler any more.
        folder = built_before()
        if folder is None:
            raise
        return folder
    folder = cache_root() / _key(version)
    if folder.is_dir():
        return folder
    with filling_cache():
        if folder.is_dir():
            return folder
        say("Building Kubernetes from source: 6 to 11 minutes on two cores, once; then cached.")
        partial = cache_root() / f".building-{folder.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _build_all(go, partial)
        partial.rename(folder)
    return folder
