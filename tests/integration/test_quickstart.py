# SPDX-License-Identifier: Apache-2.0
"""scripts/quickstart against a cluster of one's own, and scripts/laptop; the laptop plays the user's machine."""

import os
import pathlib
import pty
import subprocess

from conftest import ROOT, run
from localcluster import plan
from managers import installed

QUICKSTART = ROOT / "scripts/quickstart"


def script(cluster):
    return [ROOT / "scripts/laptop", "--cluster", cluster.name]


def servers_on(laptop):
    """Command lines of web servers that run on the laptop."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_text().split("\0")
            if "http.server" in words and os.readlink(entry / "ns/net") == laptop.network:
                found.append(" ".join(words))
        except OSError:
            continue
    return found


def test_quickstart_with_a_kubeconfig_of_ones_own(laptop, cluster):
    kubeconfig = plan.get(cluster.name).admin_kubeconfig
    how = "found" if installed(cluster) else "installed"
    argv = ["env", "KUBECONFIG=/nonexistent", QUICKSTART, "--kubeconfig", kubeconfig.name]
    done = laptop.run(*argv, cwd=kubeconfig.parent, timeout=300)
    assert "==> Build telepresence" in done.stderr and "done in" in done.stderr
    assert "It works" in done.stdout
    assert done.stdout.count('"gitVersion"') == 3
    for line in ("telepresence status", "telepresence list", "telepresence quit -s"):
        assert f"\n  {line}\n" in done.stdout
    assert laptop.daemons().keys() == {"rootd", "userd"}
    laptop.curl("http://web.demo/")
    second_run_on_the_local_cluster(laptop, cluster)
    down_leaves_nothing(laptop, cluster, kubeconfig, how)


def second_run_on_the_local_cluster(laptop, cluster):
    """Everything is there by now: cluster, image and connection. Nothing of the demonstration stays but the demonstration."""
    try:
        # Somebody else's cluster in this person's own settings is not the one that is meant.
        elsewhere = {**os.environ, "KUBECONFIG": "/nonexistent"}
        done = run([QUICKSTART, "--cluster", cluster.name], timeout=300, env=elsewhere)
        assert "It works" in done.stdout
        answers = [line for line in done.stdout.splitlines() if line.startswith("web asked hello: ")]
        assert answers == [f"web asked hello: hello from the {place}" for place in ("cluster", "laptop", "cluster")]
        assert f"  scripts/quickstart --cluster {cluster.name} --down " in done.stdout
        assert servers_on(laptop) == []
        assert laptop.status()["user_daemon"]["intercepts"] == []
    finally:
        cluster.kubectl("delete", "-f", ROOT / "scripts/demo/hello.yaml", "--ignore-not-found")


def down_leaves_nothing(laptop, cluster, kubeconfig, how):
    """Of a cluster of one's own: the connection goes, and what was installed there if it was installed by this."""
    mark = plan.get(cluster.name).dir / "laptop/telepresence/quickstart"
    assert mark.read_text().splitlines()[:2] == [str(kubeconfig), how]
    # As a connect leaves it that has just begun to install, and was interrupted.
    mark.write_text(f"{kubeconfig}\nfound\nkept\n")
    mark.with_name("quickstart.said").write_text("Installing the traffic-manager in namespace ambassador\n")
    laptop.run(QUICKSTART, "--down", "--kubeconfig", kubeconfig)
    assert not laptop.daemons() and not installed(cluster) and not mark.exists()


def test_wrong_use_of_quickstart_says_what_is_right(laptop):
    for words, code, text in (
        (["--kubeconfig", "/nonexistent"], 1, "/nonexistent: cannot be read"),
        (["--kubeconfig", ""], 1, "--kubeconfig needs a value"),
        (["--cluster="], 1, "--cluster needs a value"),
        (["--image=x"], 1, "--image goes with --kubeconfig"),
        (["--nonsense"], 2, "usage: "),
    ):
        done = laptop.run(QUICKSTART, *words, check=False)
        assert done.returncode == code and text in done.stderr, words


def test_a_person_who_is_not_root_is_told_so():
    """A person who may read the clone, wherever it is: below a folder like /root no other user could even start it."""
    may_read = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *may_read]
    assert run([*nobody, "id", "-u"]).stdout == "65534\n"
    for words in (["quickstart"], ["laptop", "true"], ["cluster", "up"]):
        argv = [*nobody, ROOT / "scripts" / words[0], *words[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "run it as root" in done.stderr, done.stderr


def test_laptop_without_a_command_is_a_shell_on_it(laptop, cluster):
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(script(cluster), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, b"echo kubeconfig=$KUBECONFIG; telepresence version; kubectl get nodes; exit 7\n")
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # EIO: the shell has gone
        pass
    os.close(ours)
    assert shell.wait(60) == 7
    text = said.decode(errors="replace")
    assert f"laptop({cluster.name})# " in text
    assert f"kubeconfig={plan.get(cluster.name).admin_kubeconfig}" in text
    assert "Client" in text and "node1" in text


def test_laptop_takes_options_before_the_command_only(laptop, cluster):
    words = [ROOT / "scripts/laptop", f"--cluster={cluster.name}", "--", "echo", "--cluster", "x", "--", "y"]
    assert run(words).stdout == "--cluster x -- y\n"
    done = run([*script(cluster), "--nonsense", "true"], check=False)
    assert done.returncode == 2 and "usage: scripts/laptop" in done.stderr
    for words, code in ((["sh", "-c", "exit 9"], 9), (["sh", "-c", "kill -TERM $$"], -15), (["no-such"], 127), (["/etc"], 126)):
        assert run([*script(cluster), *words], check=False).returncode == code, words


def test_laptop_hands_on_signals_and_words_as_they_are(laptop, cluster):
    """Python ignores SIGPIPE: `yes | head` would not end there as it does elsewhere."""
    ignored = [line for line in run(["cat", "/proc/self/status"]).stdout.splitlines() if line.startswith("SigIgn")]
    assert ignored[0] in run([*script(cluster), "cat", "/proc/self/status"]).stdout.splitlines()
    words = ["a b", "", "$HOME", "*", "'", '"', "\\", "two\nlines", "ä"]
    assert run([*script(cluster), "printf", "%s|", *words]).stdout == "".join(f"{word}|" for word in words)
    done = subprocess.run([*script(cluster), "cat"], input=b"\0\xff\n", capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"\0\xff\n")


def test_laptop_takes_a_kubeconfig_that_is_set(laptop, cluster):
    said = subprocess.run(
        # A proxy, on the other hand, is not to be reached from there.
        [*script(cluster), "sh", "-c", "echo $KUBECONFIG$HTTPS_PROXY$http_proxy"],
        env={**os.environ, "KUBECONFIG": "/some/where", "HTTPS_PROXY": "http://p:1", "http_proxy": "http://p:1"},
        capture_output=True,
        text=True,
    ).stdout
    assert said == "/some/where\n"
