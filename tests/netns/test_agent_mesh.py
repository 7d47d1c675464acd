# SPDX-License-Identifier: Apache-2.0
"""A pod of a service mesh: its init container has redirected all of the pod's connections to a proxy, told apart by its user."""
import subprocess
import threading

from conftest import DEADLINE_S, ROOT, read_line, rig_of, wait_for
from agentrig import AgentRig, PEER, POD, PORT, Service

PROXY, PROXY_UID, APP_UID = ROOT / "tests/netns/sidecar.py", 1337, 1000
# As istio-init writes them, for both families.
RULES = """
table FAMILY istio {
	chain prerouting {
		type nat hook prerouting priority dstnat
		tcp dport { 15008, 15020, 15021, 15090 } return
		meta l4proto tcp redirect to :15006
	}
	chain output {
		type nat hook output priority -100
		FAMILY saddr SELF oifname lo return
		FAMILY daddr != LOCALHOST oifname lo meta skuid 1337 meta l4proto tcp redirect to :15006
		oifname lo meta skuid != 1337 return
		meta skuid 1337 return
		FAMILY daddr LOCALHOST return
		meta l4proto tcp redirect to :15001
	}
}
"""


class MeshRig(AgentRig):
    def __init__(self, make_netns):
        super().__init__(make_netns)
        self.pod.run("ip", "-6", "addr", "add", "::6/128", "dev", "lo", "nodad")
        rules = "".join(RULES.replace("FAMILY", family).replace("SELF", own).replace("LOCALHOST", localhost)
                        for family, own, localhost in (("ip", "127.0.0.6", "127.0.0.1"), ("ip6", "::6", "::1")))
        self.pod.run("nft", "-f", "-", input=rules)
        self.before = self.ruleset()
        self.proxy = self.pod.popen("setpriv", f"--reuid={PROXY_UID}", "--clear-groups", "/usr/bin/python3", "-I", "-B", "-c", PROXY.read_text(),
                                    stdout=subprocess.PIPE, bufsize=0)
        assert read_line(self.proxy.stdout, "the proxy").decode() == "ready\n"
        self.taken = []
        threading.Thread(target=self._read_proxy, daemon=True).start()

    def _read_proxy(self):
        for line in self.proxy.stdout:
            self.taken.append(line.decode().split())

    def take(self):
        """What the proxy took since the last time; each connection of a test is one."""
        wait_for(lambda: self.taken, "the proxy to take a connection")
        taken, self.taken = self.taken, []
        return taken

    def end(self):
        """The mesh's rules stay."""
        self.process.stdin.close()
        self.process.stdin = None
        assert self.process.wait(DEADLINE_S) == 0
        assert self.ruleset() == self.before


rig = rig_of(MeshRig)


def test_laptop_and_app_answer_behind_the_proxy(rig):
    def expect(name):
        for family in (4, 6):
            assert rig.ask(family=family) == f"{name}:hello".encode()
            assert rig.take() == [["in", POD[family], str(PORT)]]

    expect("app")
    rig.intercept()
    expect("laptop")
    rig.answer("refused")
    expect("app")
    rig.config()
    expect("app")
    rig.end()


ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as sock:
    sock.sendall(b"hello")
    print(sock.recv(100).decode(), *sock.getsockname()[:1])
"""


def test_what_the_app_asks_goes_out_by_the_proxy(rig):
    rig.closing.append(Service(rig.peer, "::", 9090, "far"))
    rig.intercept()
    for family in (4, 6):
        words = ["/usr/bin/python3", "-I", "-c", ASK, PEER[family], "9090"]
        done = rig.pod.run("setpriv", f"--reuid={APP_UID}", "--clear-groups", *words)
        assert done.stdout == f"far:hello {POD[family]}\n"
        assert rig.take() == [["out", PEER[family], "9090"]]
    rig.end()


def test_inside_the_pod_the_proxy_is_not_in_the_way(rig):
    """As without us: the pod's own processes reach each other past the proxy."""
    rig.intercept()
    assert rig.ask(rig.pod) == b"laptop:hello"
    rig.answer("no-client")
    assert rig.ask(rig.pod) == b"app:hello"
    assert rig.ask(rig.pod, address="127.0.0.1") == b"app:hello"
    assert rig.taken == []
    rig.end()
