# SPDX-License-Identifier: Apache-2.0
"""stock - the images that every cluster starts with: pause, CoreDNS, and busybox for tests"""

import hashlib
import pathlib
import subprocess

from .image import Entry, write_docker_archive
from .plan import cache_root, filling_cache
from .shell import run

PAUSE = "node.local/pause:1"
COREDNS = "node.local/coredns:1"
BUSYBOX = "node.local/busybox:1"
WEB = "node.local/web:1"

# A pod's first process: reaps what is left to it and ends when told to.
PAUSE_SOURCE = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void reap(int sig) { (void)sig; while (waitpid(-1, NULL, WNOHANG) > 0) continue; }
static void stop(int sig) { (void)sig; _exit(0); }
int main(void)
{
	signal(SIGCHLD, reap);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	for (;;)
		pause();
}
"""
PASSWD = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"


def _busybox_entries():
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    entries = [Entry("bin/busybox", 0o755, source="/bin/busybox")]
    for applet in applets.stdout.split():
        if applet != "busybox":
            entries.append(Entry(f"bin/{applet}", target="busybox"))
    entries += [Entry("etc/passwd", 0o644, data=PASSWD), Entry("etc/group", 0o644, data=GROUP)]
    entries += [Entry("tmp", 0o1777), Entry("proc"), Entry("sys"), Entry("dev")]
    return entries


def _make_pause(path):
    program = path.with_suffix(".bin")
    run(["gcc", "-Os", "-static", "-s", "-x", "c", "-o", program, "-"], stdin=PAUSE_SOURCE)
    entries = [Entry("pause", source=program)]
    write_docker_archive(path, PAUSE, entries, {"Entrypoint": ["/pause"]})
    program.unlink()


def _make_busybox(path):
    settings = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}
    write_docker_archive(path, BUSYBOX, _busybox_entries(), settings)


def _make_web(path):
    """An HTTP server on port 8080 that says so; /www can be mounted over."""
    entries = _busybox_entries() + [Entry("www/index.html", 0o644, data=b"web: it works\n")]
    server = ["/bin/httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
    settings = {"Env": ["PATH=/bin"], "Entrypoint": server, "User": "65534"}
    write_docker_archive(path, WEB, entries, settings)


def archives(bin_dir):
    """Paths of the stock images' archives, made first where the cache does not have them."""

    def make_coredns(path):
        entries = [Entry("coredns", source=bin_dir / "coredns")]
        write_docker_archive(path, COREDNS, entries, {"Entrypoint": ["/coredns"]})

    digest = hashlib.sha256(pathlib.Path("/bin/busybox").read_bytes())
    for source in ("stock.py", "image.py"):
        digest.update((pathlib.Path(__file__).parent / source).read_bytes())
    digest.update(bin_dir.name.encode())
    folder = cache_root() / f"images-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    makers = {"pause": _make_pause, "busybox": _make_busybox, "web": _make_web}
    with filling_cache():
        for name, make in {**makers, "coredns": make_coredns}.items():
            path = folder / f"{name}.tar"
            if not path.exists():
                make(path)
            made.append(path)
    return made
