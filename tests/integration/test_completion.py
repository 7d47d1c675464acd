# SPDX-License-Identifier: Apache-2.0
"""The tabulator key: the scripts of `telepresence completion` in the shells themselves, on a connected laptop."""

import pytest

from timing import comes

# zsh's own compadd works inside a terminal's completion only; what would be offered is what it is given.
ZSH = """
compadd() { shift; print -l -- "$@" }
_files() { print FILES }
compdef() { : }
source <(telepresence completion zsh)
words=(telepresence TYPED); CURRENT=$#words
_telepresence
"""
BASH = """
source <(telepresence completion bash)
COMP_WORDS=(telepresence TYPED); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_telepresence
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
telepresence completion fish | source
complete -C 'telepresence LINE'
"""


def offered(joined, shell, *words):
    quoted = " ".join(f'"{word}"' for word in words)
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell]
    script = script.replace("TYPED", quoted).replace("LINE", " ".join(words))
    options = ["-f"] if shell == "zsh" else ["--no-config"] if shell == "fish" else ["--norc"]
    return set(joined.laptop.run(shell, *options, "-c", script).stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_options_and_names_are_offered(joined, shell):
    joined.telepresence("intercept", "mine", "--local-only")
    try:
        assert offered(joined, shell, "int") == {"intercept"}
        assert {"connect", "uninstall", "list"} <= offered(joined, shell, "")
        assert offered(joined, shell, "intercept", "--env-f") == {"--env-file"}
        comes({"mine"}, lambda: offered(joined, shell, "leave", ""))
        for words, wanted in (
            (["intercept", ""], {"client", "db", "ds", "rs", "solo", "web"}),
            (["intercept", "x", "--workload", "d"], {"db", "ds"}),
            (["intercept", "-n", "demo", ""], {"web"}),
        ):
            comes(wanted, lambda words=words: offered(joined, shell, *words))
        comes(True, lambda: {"stage", "demo", "default"} <= offered(joined, shell, "list", "--namespace", ""))
        assert offered(joined, shell, "connect", "--context", "") == {joined.cluster.name}
        assert offered(joined, shell, "completion", "z") == {"zsh"}
        assert offered(joined, shell, "dns", "") == {"trace"}
    finally:
        joined.telepresence("leave", "mine")


def candidates(joined, *words):
    return joined.telepresence("complete", "--", *words).stdout.split()


def test_values_are_offered_however_they_are_typed(joined):
    comes(["--namespace=stage"], lambda: candidates(joined, "list", "--namespace=sta"))
    comes(["stage"], lambda: candidates(joined, "list", "--namespace", "=", "sta"))
    assert candidates(joined, "intercept", "--env-syntax", "sh") == ["sh", "sh:export"]
    assert candidates(joined, "list", "--only-interceptable=") == [
        "--only-interceptable=true", "--only-interceptable=false",
    ]  # fmt: skip
    assert candidates(joined, "list", "--output", "json", "--ag") == ["--agents"]
    for nothing in (["nosuch", ""], ["intercept", "web", ""], ["intercept", "--port", ""], ["intercept", "web", "--", ""]):
        assert candidates(joined, *nothing) == []


def test_without_a_connection_there_are_commands_and_contexts(joined):
    joined.telepresence("quit", "-s")
    try:
        assert candidates(joined, "intercept", "") == []
        assert candidates(joined, "connect", "--context", "") == [joined.cluster.name]
        assert "connect" in candidates(joined, "")
    finally:
        joined.laptop.connect("--namespace", "stage")
