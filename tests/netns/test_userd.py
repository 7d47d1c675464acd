# SPDX-License-Identifier: Apache-2.0
"""The user daemon and the command line against peers that the real ones cannot be made to be: garbage on the socket, an
API server that hangs or lies, other users."""
import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

from conftest import DEADLINE_S, Netns, program, wait_for

HERE = os.path.abspath(__file__)


def frame(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("!I", len(text)) + text


def talk(uid, data, half_close=False):
    """Sends bytes to the user daemon of this network namespace; every frame that comes back until it hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # With a deadline it would not wait for a place among those whom the daemon has not accepted yet.
        sock.connect(f"\0telepresence-userd-{uid}")
        sock.settimeout(DEADLINE_S)
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    frames = []
    while answer:
        (length,) = struct.unpack("!I", answer[:4])
        frames.append(json.loads(answer[4 : 4 + length]))
        answer = answer[4 + length :]
    return frames


class Laptop:
    def __init__(self, netns, home):
        self.netns = netns
        self.env = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "KUBECONFIG": str(home / "config")}
        self.home = home

    def telepresence(self, *args, check=True, **kwargs):
        return self.netns.run(program("telepresence"), *args, check=check, env=self.env, **kwargs)

    def popen(self, *args, **kwargs):
        return self.netns.popen(program("telepresence"), *args, env=self.env, **kwargs)

    def start_userd(self):
        log = self.home / "userd.log"
        self.netns.run("sh", "-c", f"exec {program('telepresence')} userd --background >{log} 2>&1", env=self.env)

    def ask(self, data, as_uid=0, half_close=False):
        """talk() in the laptop's network namespace, perhaps as somebody else."""
        done = subprocess.run(
            self.netns.command(sys.executable, HERE, "talk", as_uid, int(half_close)),
            input=data, capture_output=True, timeout=DEADLINE_S, check=True,
        )
        return json.loads(done.stdout)

    def request(self, **members):
        return self.ask(frame({"protocol": 2, **members}))

    def kubeconfig(self, server):
        (self.home / "config").write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
            "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
            f"clusters: [{{name: x, cluster: {{server: '{server}'}}}}]\nusers: [{{name: x, user: {{token: t}}}}]\n"
        )

    def daemons(self):
        names = []
        for pid in self.netns.pids():
            try:
                argv = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            except OSError:
                continue
            names += [os.path.basename(argv[0]).decode()]
        return sorted(name for name in names if name.startswith("telepresence"))


@pytest.fixture(name="laptop")
def fixture_laptop(tmp_path):
    netns = Netns("userd")
    before = netns.snapshot()
    laptop = Laptop(netns, tmp_path)
    yield laptop
    laptop.telepresence("quit", "-s", check=False)
    netns.assert_as(before)
    netns.delete()


@pytest.fixture(name="served")
def fixture_served(laptop):
    laptop.start_userd()
    return laptop


def assert_alive(laptop):
    (answer,) = laptop.request(request="status")
    assert answer["result"]["user_daemon"]["running"] is True


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        struct.pack("!I", 1 << 20) + b"{",
        struct.pack("!I", (1 << 20) + 1),
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"[]"),
        frame(b'{"a"'),
        frame(b"\xff" * 100),
        frame(b"[" * 1000),
    ],
)
def test_garbage_gets_no_answer_and_harms_nobody(served, data):
    assert served.ask(data, half_close=True) == []
    assert_alive(served)


def test_unknown_request_and_other_version_are_named(served):
    (answer,) = served.request(request="bogus")
    assert answer["kind"] == "internal" and "unknown request" in answer["error"]
    (answer,) = served.ask(frame({"protocol": 1, "request": "status"}))
    assert answer["kind"] == "conflict" and "quit -s" in answer["hint"]
    (answer,) = served.request(request="connect", args={"bogus": "x"})
    assert "bogus" in answer["error"]
    (answer,) = served.request(request="connect")
    assert "error" in answer
    (answer,) = served.request(request="list")
    assert answer["error"] == "not connected"
    (answer,) = served.request(request="quit")
    assert answer["result"] == {"disconnected": False}
    assert_alive(served)


def test_bytes_after_the_request_are_not_another(served):
    status = frame({"protocol": 2, "request": "status"})
    assert len(served.ask(status + status)) == 1


def test_another_user_is_refused(served):
    assert served.ask(frame({"protocol": 2, "request": "status"}), as_uid=65534) == []
    assert_alive(served)


def test_socket_of_another_user_is_not_trusted(laptop):
    """Somebody else holds the name that our daemon would have."""
    squatter = laptop.netns.popen(sys.executable, HERE, "squat", stdout=subprocess.PIPE, text=True)
    assert squatter.stdout.readline() == "ready\n"
    done = laptop.telepresence("status", check=False)
    assert done.returncode == 8, done.stderr
    assert "uid 65534" in done.stderr
    squatter.kill()
    squatter.wait()


def test_second_daemon_gives_way(served):
    done = served.telepresence("userd", "--background", check=False)
    assert done.returncode == 6
    assert served.daemons() == ["telepresence"]


def test_many_idle_peers_do_not_lock_others_out(served):
    """Those who connect and say nothing are bounded; a daemon that refuses more must recover when they go."""
    idle = served.netns.popen(sys.executable, HERE, "idle", 200, stdout=subprocess.PIPE, text=True)
    assert idle.stdout.readline() == "ready\n"
    idle.kill()
    idle.wait()
    wait_for(lambda: served.request(request="status"), "an answer after the idle peers have gone")


def read_until(stream, words):
    said = []
    while not (said and words in said[-1]):
        said.append(stream.readline())
        assert said[-1], f"no {words!r}: {said}"


class Api:
    """A scripted API server on the laptop's loopback."""

    def __init__(self, laptop, behaviour):
        self.process = laptop.netns.popen(sys.executable, HERE, "api", behaviour, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        laptop.kubeconfig(f"http://127.0.0.1:{self.port}")


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("close", 7, "127.0.0.1"),
        ("truncated", None, "127.0.0.1"),
        ("not-json", None, ""),
        ("unauthorized", 4, ""),
        ("no-name", 9, "who you are"),
        ("forbidden", 8, "may not"),
    ],
)
def test_lying_api_server_is_named_and_nothing_is_left(laptop, behaviour, code, words):
    before = laptop.netns.snapshot()
    api = Api(laptop, behaviour)
    done = laptop.telepresence("connect", check=False)
    assert done.returncode == code or (code is None and done.returncode != 0), done.stderr
    assert done.stderr.splitlines()[-1] and "telepresence connect: error: " in done.stderr
    assert words in done.stderr
    laptop.telepresence("quit", "-s")
    api.process.kill()
    api.process.wait()
    laptop.netns.assert_as(before)


def test_interrupted_connect_is_cancelled(laptop):
    """The API server hangs, the person presses Ctrl-C: the daemon gives up, and root's part ends."""
    api = Api(laptop, "hang")
    # A run in the background of a shell inherits an ignored SIGINT; a person's terminal does not.
    connecting = laptop.popen("connect", stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    read_until(connecting.stderr, "who you are")
    assert laptop.daemons().count("telepresence-rootd") == 1
    os.kill(laptop_pid(laptop, connecting), 2)
    assert connecting.wait(DEADLINE_S) != 0
    wait_for(lambda: "telepresence-rootd" not in laptop.daemons(), "root daemon gone")
    (answer,) = laptop.request(request="status")
    assert answer["result"]["user_daemon"]["status"] == "Not connected"
    api.process.kill()


def laptop_pid(laptop, process):
    """The command itself: `ip netns exec` has become it."""
    return process.pid if process.pid in laptop.netns.pids() else pytest.fail("the command is not in its namespace")


@pytest.mark.parametrize("victim", ["userd", "rootd"])
def test_killed_daemon_while_connecting(laptop, victim):
    before = laptop.netns.snapshot()
    api = Api(laptop, "hang")
    connecting = laptop.popen("connect", stderr=subprocess.PIPE, text=True)
    read_until(connecting.stderr, "who you are")
    for pid in laptop.netns.pids():
        argv = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        if argv[0].endswith(b"telepresence-rootd") if victim == "rootd" else b"userd" in argv[1:2]:
            os.kill(pid, 9)
    assert connecting.wait(DEADLINE_S) != 0
    assert "telepresence connect: error: " in connecting.stderr.read()
    wait_for(lambda: laptop.daemons() == [], "both daemons gone")
    api.process.kill()
    api.process.wait()
    laptop.netns.assert_as(before)


def test_commands_without_daemons(laptop):
    assert laptop.telepresence("status").stdout.startswith("The telepresence daemon has not been started\n")
    assert json.loads(laptop.telepresence("status", "--output", "json").stdout)["user_daemon"] == {"running": False}
    assert laptop.telepresence("--output", "yaml", "status").stdout.startswith("user_daemon:\n  running: false\n")
    assert laptop.telepresence("quit").stdout == "Not connected\n"
    assert "Client" in laptop.telepresence("version", "--kubeconfig", "/nonexistent").stdout
    assert laptop.daemons() == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["bogus"], 2, 'unknown command "bogus"'),
        (["connekt"], 2, 'unknown command "connekt"; did you mean "connect"?'),
        (["--bogus"], 2, "--bogus"),
        (["connect", "--bogus"], 2, "--bogus"),
        (["connect", "--namspace", "x"], 2, "unknown option --namspace; did you mean --namespace?"),
        (["list", "--n", "x"], 2, "--n may mean --namespace, --never-proxy"),
        (["connect", "extra"], 2, '"extra"'),
        (["connect", "--context"], 2, "--context needs a value"),
        (["connect", "--also-proxy", "10.0.0.1/8"], 2, "10.0.0.1/8"),
        (["status", "--output", "xml"], 2, 'invalid output format "xml"'),
        (["uninstall"], 2, "--everything"),
        (["intercept", "web", "--port", "0"], 2, "--port 0 is not LOCAL"),
        (["help", "stauts"], 2, 'did you mean "status"?'),
        (["connect", "--kubeconfig", "/nonexistent"], 3, "/nonexistent"),
        (["list", "--context", "no-such"], 3, "kubeconfig"),
    ],
)
def test_wrong_command_lines(laptop, args, code, words):
    done = laptop.telepresence(*args, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and ": error: " in done.stderr
    assert done.stdout == ""
    assert laptop.daemons() == []
    if args[0] in ("connect", "uninstall", "list"):
        document = json.loads(laptop.telepresence(*args, "--output=json", check=False).stdout)
        assert document["cmd"] == args[0]
        assert document["err"]
        said = laptop.telepresence(*args, "--output", "yaml", check=False).stdout.splitlines()
        assert said[0] == f"cmd: {args[0]}" and said[1].startswith("err: ")


def is_balanced(script):
    """Every quote and bracket is closed, by its own kind: what can be said of a script without its shell."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", script)
    opened, pairs = [], {")": "(", "]": "[", "}": "{"}
    for text in bare:
        if text in pairs.values():
            opened.append(text)
        elif text in pairs and (not opened or opened.pop() != pairs[text]):
            return False
    return not opened and not set("'\"") & set(bare)


def test_help_man_page_and_completion_name_every_command(laptop):
    overview = laptop.telepresence("help").stdout
    man = laptop.telepresence("man").stdout
    offered = laptop.telepresence("complete", "--", "").stdout.splitlines()
    for command in ("connect", "status", "list", "quit", "uninstall", "version", "help", "completion"):
        assert f"  {command} " in overview
        assert f".SS telepresence {command}" in man
        assert command in offered
        assert "Usage: telepresence " + command in laptop.telepresence(command, "--help").stdout
    for shell in ("bash", "zsh", "fish"):
        script = laptop.telepresence("completion", shell).stdout
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=DEADLINE_S)
    script = laptop.telepresence("completion", "powershell").stdout
    assert script.startswith("Register-ArgumentCompleter -Native -CommandName telepresence -ScriptBlock {\n")
    assert "telepresence complete -- @words 2>$null |" in script and is_balanced(script), script
    assert "--output default|json|yaml" in overview
    assert laptop.telepresence("--help").stdout == overview
    assert laptop.telepresence("--version").stdout == laptop.telepresence("version").stdout


def serve_api(behaviour):
    """One thread a connection: enough of HTTP/1.1 to mislead a client."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    status = {"unauthorized": 401, "forbidden": 403}.get(behaviour, 201)
    body = {
        "not-json": b"<html>sign in</html>",
        "no-name": b'{"kind":"SelfSubjectReview","status":{}}',
        "forbidden": b'{"kind":"Status","code":403,"reason":"Forbidden","message":"you may not"}',
        "unauthorized": b'{"kind":"Status","code":401,"reason":"Unauthorized","message":"who"}',
    }.get(behaviour, b'{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"me"}}}')

    def serve(sock):
        with sock:
            sock.recv(65536)
            if behaviour == "close":
                return
            if behaviour == "hang":
                threading.Event().wait()
            length = len(body) * 2 if behaviour == "truncated" else len(body)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
            sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def helper_main(argv):
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: not longer than the test
    if argv[0] == "talk":
        data = sys.stdin.buffer.read()
        if int(argv[1]):
            os.setuid(int(argv[1]))
        print(json.dumps(talk(0, data, bool(int(argv[2])))))
    elif argv[0] == "squat":
        os.setuid(65534)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("\0telepresence-userd-0")
        listener.listen()
        print("ready", flush=True)
        threading.Event().wait()
    elif argv[0] == "idle":
        peers = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(int(argv[1]))]
        for peer in peers:
            peer.connect("\0telepresence-userd-0")
        print("ready", flush=True)
        threading.Event().wait()
    elif argv[0] == "api":
        serve_api(argv[1])


if __name__ == "__main__":
    helper_main(sys.argv[1:])
