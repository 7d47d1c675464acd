# SPDX-License-Identifier: Apache-2.0
"""A pod with the agent's engine, a laptop that a script answers for, and peers on a network."""
import json
import resource
import socket
import subprocess
import threading

from conftest import DEADLINE_S, program, veth, wait_for
from flowrig import in_netns

POD = {4: "10.9.0.2", 6: "fd09::2"}
PEER = {4: "10.9.0.1", 6: "fd09::1"}
NODE = {4: "10.9.0.3", 6: "fd09::3"}
PORT = 8080
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Service:
    """Answers with its name before what it got; over TCP until the peer has said all."""

    def __init__(self, netns, address, port, name, kind=TCP):
        self.name, self.kind = name.encode(), kind
        self.connections = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def make():
            sock = socket.socket(family, kind)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if kind == TCP:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            if kind == TCP:
                sock.listen(4096)
            return sock
        self.sock = in_netns(netns, make)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept if kind == TCP else self._answer,
                         daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, peer = self.sock.accept()
            except OSError:
                return
            self.connections.append(peer)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(self.name + b":" + data)
                connection.sendall(self.name + b":end")
            except OSError:
                pass

    def _answer(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(65536)
                if not peer:  # shut down
                    return
                self.connections.append(peer)
                self.sock.sendto(self.name + b":" + data[:60000], peer)
            except OSError:
                return

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class AgentRig:
    """pod: the engine, the app on PORT (TCP and UDP), the laptop on 127.0.0.1; peer: outside."""

    def __init__(self, make_netns, app=True):
        self.pod, self.peer = make_netns("pod"), make_netns("peer")
        veth(self.pod, self.peer, [f"{POD[4]}/24", f"{POD[6]}/64"],
             [f"{PEER[4]}/24", f"{PEER[6]}/64", f"{NODE[4]}/24", f"{NODE[6]}/64"])
        self.closing, self.events = [], []
        self.changed = threading.Condition()
        self.before = self.pod.run("nft", "list", "ruleset").stdout
        self.process = self.pod.popen(program("agentdriver"), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0)
        threading.Thread(target=self._read, daemon=True).start()
        self.event("ready")
        self.app = self.service("::", PORT, "app") if app else None
        self.app_udp = self.service("::", PORT, "app", UDP) if app else None
        self.laptop = self.service("127.0.0.1", 0, "laptop")
        self.laptop_udp = self.service("127.0.0.1", self.laptop.port, "laptop", UDP)

    def service(self, *args):
        service = Service(self.pod, *args)
        self.closing.append(service)
        return service

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def event(self, *names):
        """Takes the first event of one of these names, waiting for it."""
        with self.changed:
            def find():
                return next((e for e in self.events if e["event"] in names), None)
            assert self.changed.wait_for(find, DEADLINE_S), f"no {names}: {self.events}"
            found = find()
            self.events.remove(found)
            return found

    def seen(self, name):
        with self.changed:
            return [e for e in self.events if e["event"] == name]

    def command(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        answer = self.event("ok", "error")
        assert answer["event"] == "ok", f"{line}: {answer}"

    def config(self, *ports, nodes=False):
        """Each: PORT/tcp|udp/PROBE/INTERCEPT/app|close."""
        words = [f"node={address}" for address in NODE.values()] if nodes else []
        self.command(" ".join(["config", *words, *ports]))

    def intercept(self, *ports, answer="dial", link=True, nodes=False):
        if link:
            self.command("link up")
        self.answer(answer)
        self.config(*(ports or [f"{PORT}/tcp/none/one/app", f"{PORT}/udp/none/one/app"]),
                    nodes=nodes)

    def answer(self, answer):
        self.command(f"answer {answer} {self.laptop.port}")

    def counts(self, intercept="one"):
        self.command(f"counts {intercept}")
        return self.event("counts")

    def ruleset(self):
        return self.pod.run("nft", "list", "ruleset").stdout

    def sockets(self):
        """Listening TCP and UDP sockets of the driver, as (protocol, address:port)."""
        found = []
        for line in self.pod.run("ss", "-tulnpH").stdout.splitlines():
            if "agentdriver" in line:
                fields = line.split()
                found.append((fields[0], fields[4]))
        return found

    def socket(self, netns=None, family=4, kind=TCP, source=None, source_port=0):
        """A socket with a deadline; source: "node" or an address."""
        def make():
            sock = socket.socket(FAMILY[family], kind)
            if source or source_port:
                address = NODE[family] if source == "node" else source or ""
                sock.bind((address, source_port))
            return sock
        sock = in_netns(netns or self.peer, make)
        sock.settimeout(DEADLINE_S)
        self.closing.append(sock)
        return sock

    def connect_many(self, count):
        """So many connections to the app's port, from the peer."""
        made = in_netns(self.peer, lambda: [socket.socket() for _ in range(count)])
        self.closing += made
        for sock in made:
            sock.settimeout(DEADLINE_S)
            sock.connect((POD[4], PORT))
        return made

    def connect(self, *args, port=PORT, address=None, **kwargs):
        sock = self.socket(*args, **kwargs)
        sock.connect((address or POD[kwargs.get("family", 4)], port))
        return sock

    def ask(self, *args, data=b"hello", **kwargs):
        """Connects, says data and returns the answer."""
        sock = self.connect(*args, **kwargs)
        sock.sendall(data)
        return sock.recv(65536)

    def rss_kib(self):
        with open(f"/proc/{self.driver_pid()}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def driver_pid(self):
        return self.process.pid

    def is_filtered(self):
        """The agent's system call filter is on, with which a call that it does not know kills."""
        with open(f"/proc/{self.driver_pid()}/status", encoding="ascii") as file:
            return "Seccomp:\t2\n" in file.readlines()

    def end(self):
        """The driver ends by itself, with nothing left: no table, no leak, no open handle."""
        self.process.stdin.close()
        self.process.stdin = None
        assert self.process.wait(DEADLINE_S) == 0
        assert self.ruleset() == self.before == ""

    def close(self):
        for one in self.closing:
            one.close()


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def wait_closed(sock):
    """What the peer's end looks like: b"" for FIN, ConnectionResetError for RST."""
    try:
        return sock.recv(65536)
    except OSError as error:
        return type(error)


__all__ = ["AgentRig", "Service", "wait_closed", "wait_for", "raise_file_limit", "POD", "PEER",
           "NODE", "PORT", "TCP", "UDP"]
