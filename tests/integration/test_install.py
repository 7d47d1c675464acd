# SPDX-License-Identifier: Apache-2.0
"""The cluster's side comes with the first command that needs it, and goes without a trace."""

import json

from managers import installed


def test_uninstall_everything_leaves_no_object_and_list_installs_again(laptop, cluster):
    laptop.connect()
    assert installed(cluster)
    laptop.telepresence("uninstall", "--everything", timeout=120)
    assert installed(cluster) == []
    assert not laptop.daemons()
    out = laptop.telepresence("list", "--namespace", "demo", timeout=120)
    assert "web" in out.stdout and "ready to intercept" in out.stdout
    assert "traffic-manager" not in out.stdout
    assert installed(cluster)
    assert laptop.curl("http://web.demo/")


def test_version_works_without_a_cluster(laptop):
    out = laptop.telepresence("version", "--kubeconfig", "/nonexistent", check=False)
    assert "Client" in out.stdout


def test_unreachable_cluster_is_named(laptop, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: x, user: {token: t}}]\n"
    )
    done = laptop.telepresence("connect", "--kubeconfig", str(config), check=False)
    assert done.returncode == 7, done.stderr
    assert "127.0.0.1:1" in done.stderr and "refused" in done.stderr.lower()


def test_wrong_context_is_named(laptop):
    done = laptop.telepresence("connect", "--context", "no-such-context", check=False)
    assert done.returncode == 3, done.stderr
    assert "no-such-context" in done.stderr


def test_json_output_on_success_and_failure(laptop):
    done = laptop.telepresence("status", "--output", "json", check=False)
    json.loads(done.stdout)
    done = laptop.telepresence("connect", "--context", "no-such-context", "--output", "json", check=False)
    document = json.loads(done.stdout)
    assert document["cmd"] == "connect" and "no-such-context" in document["err"]


def test_status_and_version_when_nothing_runs(laptop):
    assert "Not running" in laptop.telepresence("status", check=False).stdout
    assert "not running" in laptop.telepresence("version").stdout.lower()
