# SPDX-License-Identifier: Apache-2.0
"""The kubelet's probes are the app's, whatever the laptop does: no pod is restarted or taken out for them."""

import contextlib
import signal
import subprocess
import time

import pytest

from conftest import LONG, wait_for
from grpchealth import health
from nets import serve

# How long somebody looks at a program in the debugger.
HELD = 1800 if LONG else 0
LISTEN = "import signal, socket, sys; s = [socket.create_server(('127.0.0.1', int(p))) for p in sys.argv[1:]]"
GRPC = """
apiVersion: v1
kind: Pod
metadata: {name: health, namespace: stage, labels: {app: health}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: app
      image: node.local/busybox:1
      imagePullPolicy: IfNotPresent
      command: [sleep, "86400"]
      ports: [{containerPort: 7000}]
      readinessProbe: {grpc: {port: 7000}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 1}
"""


@contextlib.contextmanager
def halted(stage, *ports):
    """A program that listens at these ports of the laptop, stopped as by a debugger: the kernel alone accepts."""
    argv = ["/usr/bin/python3", "-c", f"{LISTEN}; print('ready', flush=True); signal.pause()", *ports]
    program = stage.laptop.popen(*argv, stdout=subprocess.PIPE)
    try:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGSTOP)
        yield
    finally:
        program.kill()
        program.communicate()


def ready_condition(pod):
    return next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")


def connections(stage, name):
    return next(one for one in stage.intercepts() if one["name"] == name)["connections"]


def test_a_program_that_stands_still_restarts_no_pod(joined):
    """`web` dies of one httpGet probe that fails, its neighbour `side` of one tcpSocket probe."""
    pods, restarts = joined.pods(), joined.restarts()

    def probes():
        paths = (f"/proc/{joined.pid(pod)}/root/tmp/probes" for pod in pods)
        return [len(open(path, encoding="utf-8").read()) for path in paths]

    with joined.intercept("web", "--port", "8080:http", "--port", "9090:side"), halted(joined, 8080, 9090):
        with contextlib.ExitStack() as stack:
            stuck = []
            for pod in pods:
                for port in (8080, 9090):
                    stuck.append(stack.enter_context(joined.client.connect(pod["status"]["podIP"], port)))
                    stuck[-1].sendall(b"GET / HTTP/1.0\r\n\r\n")
            begun, before = time.monotonic(), probes()
            wait_for("probes", lambda: all(n >= m + 3 for n, m in zip(probes(), before, strict=True)))
            wait_for("the debugger's end", lambda: time.monotonic() >= begun + HELD, HELD + 10, 0.5)
            for one in stuck:
                one.setblocking(False)
                with pytest.raises(BlockingIOError):
                    one.recv(1)
        wait_for("the count", lambda: connections(joined, "web") >= len(stuck))
        assert connections(joined, "web") == len(stuck), "no probe came to the laptop"
        assert len(joined.ready_pods()) == len(pods)
    assert joined.restarts() == restarts


def test_a_grpc_probe_is_answered_by_the_app(joined):
    joined.cluster.apply(GRPC)
    asked = []
    try:
        pod = wait_for("health runs", lambda: [p for p in joined.pods("health") if p["status"].get("podIP")])[0]
        wait_for("its process", lambda: process_of(joined, pod))
        with serve(joined.net(pod), pod["status"]["podIP"], 7000, health(asked)):
            wait_for("health is ready", lambda: joined.ready_pods("health"))
            since = ready_condition(joined.pods("health")[0])["lastTransitionTime"]
            with joined.intercept("health", "--port", "7000:7000"), halted(joined, 7000):
                before = len(asked)
                with joined.client.connect(pod["status"]["podIP"], 7000) as stuck:
                    wait_for("probes", lambda: len(asked) >= before + 3)
                    stuck.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        stuck.recv(1)
                wait_for("the count", lambda: connections(joined, "health") >= 1)
                assert connections(joined, "health") == 1
            now = ready_condition(joined.pods("health")[0])
            assert (now["status"], now["lastTransitionTime"]) == ("True", since)
    finally:
        joined.cluster.kubectl_input(["delete", "-f", "-"], GRPC)


def process_of(stage, pod):
    with contextlib.suppress(IndexError):
        return stage.pid(pod)
    return None
