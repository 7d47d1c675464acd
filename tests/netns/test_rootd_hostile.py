# SPDX-License-Identifier: Apache-2.0
"""Who may speak to the root daemon, what it does about nonsense, and what rights it has left."""
import array
import os
import pathlib
import socket
import subprocess
import time

import pytest

import rootd as proto
from conftest import DEADLINE_S, program
from rootd import Client, RawPeer, Rootd, connect_in

NOBODY = 65534


@pytest.fixture
def log(tmp_path):
    return tmp_path / "rootd.log"


def with_fd(peer, data):
    """A frame with a descriptor that nobody asked for."""
    fds = array.array("i", [0])
    peer.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    return peer.receive()


# What ends the session: (frames that are fine, the one that is not, what the log says).
BREAKS = {
    "nothing but a byte": ([], b"T", "no message"),
    "header cut": ([], proto.hello()[:7], "no message"),
    "other magic": ([], proto.frame(1, magic=0x55), "no message"),
    "reserved bits": ([], proto.frame(1, reserved=1), "no message"),
    "unknown type": ([proto.hello()], proto.frame(99), "unknown type 99"),
    "type 0": ([proto.hello()], proto.frame(0), "unknown type 0"),
    "an answer as request": ([proto.hello()], proto.frame(0x83), "is no request"),
    "an error as request": ([proto.hello()], proto.frame(0xFF, b"\0\0\0\1\1\0\0"), "is no request"),
    "hello cut": ([], proto.hello()[:-1], "malformed"),
    "hello too long": ([], proto.hello() + b"\0", "malformed"),
    "version not ended": ([], proto.hello(version=b"1" * 32), "malformed"),
    "version not text": ([], proto.hello(version=b"\x1b[2J"), "malformed"),
    "before hello": ([], proto.tun(), "tun is not permitted"),
    "hello twice": ([proto.hello()], proto.hello(), "hello is not permitted"),
    "another protocol": ([proto.hello(protocol=2)], proto.tun(), "tun is not permitted"),
    "routes before device": ([proto.hello()], proto.routes("10.0.0.0/8"), "routes is not permitted"),
    "shortcut before device": ([proto.hello()], proto.frame(7), "shortcut is not permitted"),
    "shortcut twice": ([proto.hello(), proto.tun(), proto.frame(7)], proto.frame(7), "shortcut is not permitted"),
    "device twice": ([proto.hello(), proto.tun()], proto.tun(), "tun is not permitted"),
    "too many prefixes": ([proto.hello(), proto.tun()], proto.routes(*["10.0.0.0/16"] * 257),
                          "malformed"),
    "fewer prefixes than said": ([proto.hello(), proto.tun()], proto.routes("10.0.0.0/16", count=2),
                                 "malformed"),
    "more prefixes than said": ([proto.hello(), proto.tun()],
                                proto.routes("10.0.0.0/16", "10.1.0.0/16", count=1), "malformed"),
    "unknown family": ([proto.hello(), proto.tun()],
                       proto.frame(proto.ROUTES, b"\0\1\5" + bytes(17)), "malformed"),
    "prefix of 33 bits": ([proto.hello(), proto.tun()],
                          proto.frame(proto.ROUTES, b"\0\1\4" + bytes(16) + b"\x21"), "malformed"),
    "IPv4 with a tail": ([proto.hello(), proto.tun()],
                         proto.frame(proto.ROUTES, b"\0\1\4" + bytes(15) + b"\1\x20"), "malformed"),
    "too many nameservers": ([proto.hello()],
                             proto.frame(proto.DNS, b"\x20\0\4" + proto.addr("192.0.2.1") * 4),
                             "malformed"),
    "unknown kind of socket": ([proto.hello()], proto.frame(proto.SOCKET, b"\4\3"), "malformed"),
    "name not ended": ([proto.hello()], proto.tun(name=b"tel4567890123456"), "malformed"),
    "text behind the name": ([proto.hello()], proto.tun(name=b"tel\0x"), "malformed"),
    "over the size": ([proto.hello()], proto.frame(proto.ROUTES, bytes(17000)), "more than"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_nonsense_ends_the_session(netns, log, case):
    fine, bad, text = BREAKS[case]
    before = netns.snapshot()
    rootd = Rootd(netns, log)
    peer = RawPeer(netns)
    for data in fine:
        kind, payload = peer.exchange(data)
        assert kind == data[1] | proto.REPLY, payload
    kind, payload = peer.exchange(bad)
    assert kind == proto.ERROR and text.encode() in payload
    assert peer.receive() == (None, b"")
    assert rootd.ended() == 1
    assert text in rootd.log()
    peer.close()
    netns.assert_as(before)


def test_descriptors_are_not_taken(netns, log):
    before = netns.snapshot()
    rootd = Rootd(netns, log)
    peer = RawPeer(netns)
    kind, payload = with_fd(peer, proto.hello())
    assert kind == proto.ERROR and b"descriptors" in payload
    assert rootd.ended() == 1
    peer.close()
    netns.assert_as(before)


def test_nobody_is_waited_for_long(netns, tmp_path):
    """Neither for a peer nor, once it has connected, for what it says."""
    before = netns.snapshot()
    lonely = Rootd(netns, tmp_path / "lonely.log")
    asked = Rootd(netns, tmp_path / "asked.log", uid=NOBODY)
    silent = connect_in(netns, f"\0telepresence-rootd-{NOBODY}", as_uid=NOBODY)
    assert lonely.ended() == asked.ended() == 7
    assert "no peer within 10 s" in lonely.log()
    assert "peer accepted" in asked.log()
    silent.close()
    netns.assert_as(before)


def test_a_peer_that_does_not_read_ends(netns, log):
    rootd = Rootd(netns, log)
    peer = RawPeer(netns)
    peer.exchange(proto.hello())
    peer.sock.settimeout(DEADLINE_S)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100000):
            peer.sock.send(proto.frame(proto.SOCKET, b"\4\2"))
    assert rootd.ended() == 1
    peer.close()


def test_sockets_are_bounded(netns, log):
    """2048 at once and 2000 a second; beyond that refused, and the session goes on."""
    Rootd(netns, log)
    peer = RawPeer(netns)
    peer.exchange(proto.hello())
    start = time.monotonic()
    kinds = []
    for _ in range(200):
        for _ in range(40):
            peer.sock.send(proto.frame(proto.SOCKET, b"\4\2"))
        kinds += [peer.receive()[0] for _ in range(40)]
    elapsed = time.monotonic() - start
    given = kinds.count(proto.SOCKET | proto.REPLY)
    assert given + kinds.count(proto.ERROR) == 8000
    assert given <= 2048 + 2000 * elapsed + 1, f"{given} in {elapsed:.3f} s"
    assert peer.exchange(proto.tun())[0] == proto.TUN | proto.REPLY
    peer.close()


def test_only_the_asked_uid_is_served(netns, log):
    rootd = Rootd(netns, log, uid=NOBODY)
    peer = RawPeer(netns, uid=NOBODY)
    kind, payload = peer.receive()
    assert kind == proto.ERROR and b"uid 0 is not served" in payload
    assert peer.receive() == (None, b"")
    peer.close()
    assert "peer refused" in rootd.log()
    client = Client(netns, uid=NOBODY, as_uid=NOBODY)
    client.set_up()
    client.ok("socket 4 udp")
    # The device works without any right.
    netns.run("nc", "-u", "-w1", "-q0", "10.96.0.10", "99", input="hello")
    assert client.ok("packet") == ["gso=0", "version=4", f"bytes={20 + 8 + len('hello')}"]
    # A peer of the right uid is refused too while one is served.
    second = netns.run("setpriv", "--reuid", NOBODY, "--clear-groups", program("rootclient"), NOBODY,
                       check=False)
    assert "conflict another process is served" in second.stdout
    client.ok("routes 10.96.0.0/16")


def test_the_client_wants_root_behind_the_name(netns):
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET);"
              "s.bind('\\0telepresence-rootd-0'); s.listen(); print('up', flush=True); s.accept()")
    fake = netns.popen("setpriv", "--reuid", NOBODY, "--clear-groups", "/usr/bin/python3", "-c",
                       script, stdout=subprocess.PIPE)
    assert fake.stdout.readline() == b"up\n"
    done = netns.run(program("rootclient"), 0, check=False)
    assert "belongs to uid 65534, not to a root daemon" in done.stdout


def test_one_daemon_a_user(netns, log):
    Rootd(netns, log)
    done = netns.run(program("telepresence-rootd"), "--uid", 0, check=False)
    assert done.returncode == 6
    assert "a root daemon of uid 0 runs already" in done.stderr
    done = netns.run(program("telepresence-rootd"), "--uid", 0, "--background", check=False)
    assert done.returncode == 6
    Rootd(netns, log, uid=NOBODY).process.terminate()


@pytest.mark.parametrize("sudo_uid,uid,fine", [
    ("1000", "1000", True), ("1000", "1001", False), ("1000", "0", False), ("0", "1000", True),
    ("x", "1000", False), ("", "1000", False), (None, "1000", True),
])
def test_sudo_users_get_their_own_only(netns, log, sudo_uid, uid, fine):
    env = {key: value for key, value in os.environ.items() if key != "SUDO_UID"}
    if sudo_uid is not None:
        env["SUDO_UID"] = sudo_uid
    with open(log, "wb") as stderr:
        done = netns.popen(program("telepresence-rootd"), "--uid", uid, "--background", env=env,
                           stderr=stderr)
    assert (done.wait(DEADLINE_S) == 0) == fine, log.read_text()


@pytest.mark.parametrize("args", [[], ["--uid"], ["--uid", "-1"], ["--uid", "4294967295"],
                                  ["--uid", "0x0"], ["--uid", "0", "--ready-fd", "1"],
                                  ["--uid", "0", "--ready-fd", "99"], ["--uid", "0", "more"]])
def test_usage(netns, args):
    assert netns.run(program("telepresence-rootd"), *args, check=False).returncode not in (0, 1)


def test_not_root(netns):
    done = netns.run("setpriv", "--reuid", NOBODY, "--clear-groups", program("telepresence-rootd"),
                     "--uid", NOBODY, check=False)
    assert done.returncode == 8
    assert "has to run as root" in done.stderr


def test_rights_while_serving(netns, log):
    rootd = Rootd(netns, log)
    Client(netns).set_up()
    pid = rootd.process.pid
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    net_admin = f"{1 << 12:016x}"
    assert status["CapEff"] == status["CapPrm"] == net_admin
    assert status["CapInh"] == status["CapBnd"] == status["CapAmb"] == f"{0:016x}"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # It keeps no copy of the TUN and nothing of its starter's.
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert "/dev/net/tun" not in fds
    assert sorted(fd.split(":")[0] for fd in fds if fd != str(log)) == sorted(
        ["/dev/null"] * 2 + ["socket"] * 4 + ["anon_inode"] * 3)  # the loop, a program at the device and its map
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_not_dumpable(netns, log):
    """A process with its uid and capabilities must not be able to debug it."""
    rootd = Rootd(netns, log)
    same = ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+net_admin"]
    maps = netns.run(*same, "cat", f"/proc/{rootd.process.pid}/maps", check=False)
    assert "Permission denied" in maps.stderr
    assert netns.run(*same, "cat", "/proc/self/maps").stdout


@pytest.mark.parametrize("call", ["open", "exec", "unlink", "fork", "raw-socket", "unix-socket",
                                  "sockopt", "exec-memory"])
def test_sandbox_kills(netns, call):
    assert netns.run(program("sandboxprobe"), call, check=False).returncode == -31


def test_sandbox_lets_through(netns):
    assert netns.run(program("sandboxprobe"), "inet-socket", check=False).returncode == 0


def test_links_no_parser():
    libraries = subprocess.run(["ldd", program("telepresence-rootd")], check=True, text=True,
                               capture_output=True).stdout
    names = {line.split()[0].split(".so")[0].split("/")[-1] for line in libraries.splitlines()}
    sanitizer = {"libasan", "libubsan", "libm", "libgcc_s", "libstdc++"}
    assert names - sanitizer == {"linux-vdso", "ld-linux-x86-64", "libc", "libnl-3", "libnftnl",
                                 "libmnl", "libcap-ng", "libseccomp"}
