# SPDX-License-Identifier: Apache-2.0
"""The laptop with systemd-resolved: the real one and a system bus, in a mount namespace of their own.

Their files come from Debian packages that scripts/deps unpacks and never installs: an installed systemd-resolved
would take over this machine's resolv.conf.
"""

import os
import pathlib
import subprocess

from conftest import Laptop, wait_for

UNPACKED = pathlib.Path(os.environ.get("TELEPRESENCE_CACHE") or "/var/cache/telepresence-dev") / "unpacked"
LIBRARIES = UNPACKED / "usr/lib/x86_64-linux-gnu"

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true"/><allow receive_type="method_call"/>
<allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>
"""

# What systemd-resolved finds as it would on a machine that has it installed.
SETUP = """set -e
mount --make-rprivate /
files=$1
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd
mkdir -p /run/dbus /run/systemd
cp $files/resolved.conf /etc/systemd/
for name in passwd resolv.conf nsswitch.conf; do mount --bind $files/$name /etc/$name; done
echo ready
exec cat
"""


class ResolvedLaptop(Laptop):
    """A laptop whose programs ask systemd-resolved: by glibc's own module (nss=True) or by the stub in resolv.conf."""

    def __init__(self, laptop, folder, nss=False):
        super().__init__(laptop.cluster)
        folder.mkdir(parents=True, exist_ok=True)
        self.upstream = laptop.run("cat", "/etc/resolv.conf").stdout.split()[1]
        hosts = "files resolve [!UNAVAIL=return] dns" if nss else "files dns"
        user = "systemd-resolve:x:64999:64999::/:/usr/sbin/nologin\n"
        files = {
            "passwd": pathlib.Path("/etc/passwd").read_text() + user,
            "resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\n",
            "nsswitch.conf": f"passwd: files\ngroup: files\nhosts: {hosts}\n",
            "resolved.conf": f"[Resolve]\nDNS={self.upstream}\nLLMNR=no\nMulticastDNS=no\n",
            "bus.conf": BUS,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        self.folder = folder
        self.keeper = subprocess.Popen(
            [*self.prefix, "unshare", "--mount", "sh", "-c", SETUP, "sh", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert self.keeper.stdout.readline() == "ready\n"
        environment = ["env", f"LD_LIBRARY_PATH={LIBRARIES}:{LIBRARIES}/systemd"] if nss else []
        # env, ip and unshare became the shell by exec: its pid is theirs.
        self.prefix = [*self.prefix, "nsenter", "-t", str(self.keeper.pid), "-m", *environment]
        self.processes = [self.keeper]
        try:
            self.start_all()
        except BaseException:
            self.close()
            raise

    def start_all(self):
        self.start("dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile")
        wait_for("the bus", lambda: self.run("test", "-S", "/run/dbus/system_bus_socket", check=False).returncode == 0)
        self.start_resolved()

    def start(self, *argv):
        log = open(self.folder / f"{os.path.basename(argv[0])}.log", "a")
        libraries = f"LD_LIBRARY_PATH={LIBRARIES}/systemd"
        argv = [*self.prefix, "env", libraries, *argv]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def start_resolved(self):
        self.resolved = self.start(str(UNPACKED / "lib/systemd/systemd-resolved"))
        wait_for("systemd-resolved", lambda: self.links() is not None)

    def stop_resolved(self):
        self.processes.remove(self.resolved)
        self.resolved.terminate()
        self.resolved.wait(60)

    def resolvectl(self, *args, check=True):
        program = str(UNPACKED / "usr/bin/resolvectl")
        return self.run("env", f"LD_LIBRARY_PATH={LIBRARIES}/systemd", program, "--no-pager", *args, check=check)

    def links(self):
        """Servers and domains that resolved knows, a line for each link; None: it does not answer."""
        done = [self.resolvectl(what, check=False) for what in ("dns", "domain")]
        return None if any(one.returncode for one in done) else [one.stdout for one in done]

    def words(self, what, device):
        """dns or domain of one link."""
        return self.resolvectl(what, device).stdout.partition(":")[2].split()

    def close(self):
        self.stop()
        for process in reversed(self.processes):
            process.terminate()
            process.wait(60)
