# SPDX-License-Identifier: Apache-2.0
"""Sockets in other network namespaces: a test is client, application and laptop's program itself.

A socket stays in the namespace that it was made in, so a short-lived thread goes there, makes it, and ends.
"""

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
import threading
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
REQUEST = b"GET / HTTP/1.0\r\nHost: test\r\n\r\n"


def family_of(address):
    return socket.AF_INET6 if ":" in str(address) else socket.AF_INET


class Net:
    """A network namespace, by the path of its file."""

    def __init__(self, path):
        self.path = path

    def make_socket(self, family, kind=socket.SOCK_STREAM):
        made = []

        def make():
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if LIBC.setns(fd, CLONE_NEWNET) < 0:
                    made.append(OSError(ctypes.get_errno(), f"setns {self.path}"))
                else:
                    made.append(socket.socket(family, kind))
            except OSError as error:
                made.append(error)
            finally:
                os.close(fd)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def connect(self, address, port, timeout=20):
        connection = self.make_socket(family_of(address))
        connection.settimeout(timeout)
        try:
            connection.connect((str(address), port))
        except OSError:
            connection.close()
            raise
        return connection

    def udp(self, timeout=20, family=socket.AF_INET):
        made = self.make_socket(family, socket.SOCK_DGRAM)
        made.settimeout(timeout)
        return made

    def ask(self, address, port, timeout=20):
        """The first line of what a web server answers, or the name of what went wrong."""
        try:
            with self.connect(address, port, timeout) as connection:
                connection.sendall(REQUEST)
                text = read_all(connection)
        except OSError as error:
            return type(error).__name__
        return text.partition(b"\r\n\r\n")[2].decode(errors="replace").split("\n")[0]


@contextlib.contextmanager
def dialling(net, address, port):
    """Begins a connection every 50 ms; yields the moments at which each of them was established, as they come."""
    moments, over = [], threading.Event()

    def one():
        with contextlib.suppress(OSError):
            net.connect(address, port, timeout=60).close()
            moments.append(time.monotonic())

    def begin():
        while not over.wait(0.05):
            threading.Thread(target=one, daemon=True).start()

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        yield moments
    finally:
        over.set()
        thread.join()


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_exactly(connection, count):
    parts = b""
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError(f"{len(parts)} of {count} bytes")
        parts += part
    return parts


def reset(connection):
    """Closes with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


def answer(text):
    """A handler of connections: a small web server that says text."""

    def handle(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            if not part:
                return
            head += part
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + text.encode() + b"\n")

    return handle


def echo(connection):
    while part := connection.recv(65536):
        connection.sendall(part)


@contextlib.contextmanager
def serve(net, address, port, handle):
    """Calls handle(connection) in a thread for each connection; yields the list of all there were."""
    listener = net.make_socket(family_of(address))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    taken = []

    def one(connection):
        with connection, contextlib.suppress(OSError):
            handle(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                taken.append(connection)
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        # close() alone would leave accept() waiting.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for connection in taken:
            connection.close()


@contextlib.contextmanager
def serve_udp(net, address, port, answer_text):
    """Answers each datagram with answer_text and what came."""
    server = net.udp(family=family_of(address))
    server.bind((address, port))
    server.settimeout(0.1)
    over = threading.Event()

    def loop():
        while not over.is_set():
            with contextlib.suppress(OSError):
                data, peer = server.recvfrom(65536)
                server.sendto(answer_text.encode() + data, peer)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.close()


def echoed(sock, data):
    """A datagram comes back whole, in five tries: UDP may lose."""
    for _ in range(5):
        sock.send(data)
        with contextlib.suppress(TimeoutError):
            while sock.recv(65536) != data:
                pass  # a late answer to what was sent before
            return True
    return False


def pids_of(pod_uid, program):
    """Pids, as seen from here, of a program in a pod, the oldest first: its cgroup names the pod.

    A server's children are none of them: they come and go with its connections.
    """
    parents, begun = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if pod_uid in (entry / "cgroup").read_text() and program.encode() in (entry / "cmdline").read_bytes():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], begun[int(entry.name)] = int(fields[1]), int(fields[19])
    return sorted((pid for pid, parent in parents.items() if parent not in parents), key=begun.get)


def pid_of(pod_uid, *programs):
    """The pid of the first of these programs that runs in a pod.

    It is waited for: where no probe has found it, a container runs from the moment that it was told to, and its program is
    there a little later.
    """

    def found():
        return next((pids[0] for program in programs if (pids := pids_of(pod_uid, program))), None)

    pid = until(found)
    assert pid, f"no {programs} in the pod {pod_uid}"
    return pid


def until(condition, seconds=60, pause=0.02):
    """Calls condition() until it is true; false when it never was."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return value
