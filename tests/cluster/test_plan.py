# SPDX-License-Identifier: Apache-2.0
"""Names, addresses and slots: two clusters never share any."""

import itertools

import pytest
from localcluster import pki, plan
from localcluster.shell import Failure


def networks(one):
    return [*one.lan_nets, *one.node_nets, *one.pod_nets, *one.service_nets]


def test_networks_of_all_slots_are_apart():
    all_nets = [
        net for slot in range(plan.SLOTS) for net in networks(plan.Plan("a", slot, 2, True))
    ]
    for version in (4, 6):
        nets = [net for net in all_nets if net.version == version]
        assert len(nets) == 4 * plan.SLOTS
        assert not any(a.overlaps(b) for a, b in itertools.combinations(nets, 2))


def test_a_user_cluster_with_default_ranges_is_not_in_the_way():
    for slot in range(plan.SLOTS):
        for net in networks(plan.Plan("a", slot)):
            assert not any(
                net.overlaps(plan.ipaddress.ip_network(usual))
                for usual in ("10.96.0.0/16", "10.244.0.0/16", "10.42.0.0/16", "10.43.0.0/16")
            )


def test_nodes_have_pod_networks_of_their_own():
    one = plan.Plan("a", 3, plan.MAX_NODES, True)
    nets = [net for node in one.nodes for net in node.pod_nets]
    assert len(set(nets)) == 2 * plan.MAX_NODES
    for node in one.nodes:
        assert all(
            net.subnet_of(whole) for net, whole in zip(node.pod_nets, one.pod_nets, strict=True)
        )
        assert all(addr in net for addr, net in zip(node.addresses, one.node_nets, strict=True))


@pytest.mark.parametrize("bad", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a" * 25])
def test_bad_names_are_refused(bad):
    with pytest.raises(Failure):
        plan.check_name(bad)


def test_a_path_too_long_for_sockets_is_refused(monkeypatch):
    monkeypatch.setenv("TELEPRESENCE_STATE", "/" + "x" * plan.MAX_STATE_PATH)
    with pytest.raises(Failure, match="TELEPRESENCE_STATE"):
        plan.check_name("a")


@pytest.fixture
def own_run_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "RUN_DIR", tmp_path / "run")
    monkeypatch.setenv("TELEPRESENCE_STATE", str(tmp_path / "state"))
    (tmp_path / "run").mkdir()
    for name in ("a", "b"):
        (tmp_path / "state" / name).mkdir(parents=True)
    return tmp_path


def test_slots_are_held_until_released(own_run_dir):
    assert plan.reserve_slot("a") == 0
    assert plan.reserve_slot("b") == 1
    plan.release_slot("a")
    assert plan.reserve_slot("b") == 0


def test_the_slot_of_a_cluster_that_is_gone_is_free(own_run_dir):
    assert plan.reserve_slot("a") == 0
    (own_run_dir / "state" / "a").rmdir()
    assert plan.reserve_slot("b") == 0


def test_a_name_belongs_to_one_state_folder(own_run_dir, monkeypatch):
    plan.reserve_slot("a")
    plan.check_owner("a")
    monkeypatch.setenv("TELEPRESENCE_STATE", str(own_run_dir / "other"))
    with pytest.raises(Failure, match="state/a"):
        plan.check_owner("a")
    (own_run_dir / "state" / "a").rmdir()
    plan.check_owner("a")


def test_no_slot_left(own_run_dir):
    for _ in range(plan.SLOTS):
        plan.reserve_slot("a")
    with pytest.raises(Failure, match="slots"):
        plan.reserve_slot("b")


def test_the_lock_leaves_no_file(own_run_dir):
    with plan.locked("a"):
        assert (own_run_dir / "run" / "a.lock").exists()
    assert not (own_run_dir / "run").exists()


def test_a_user_may_be_called_like_the_authority(own_run_dir, monkeypatch):
    """It once took the authority's key for the user's own, and made a new one in its place."""
    one = plan.Plan("a", 0)
    pki.make_all(one)
    before = {path: path.read_bytes() for path in (one.dir / "pki").iterdir()}
    for user in ("ca", "admin", "apiserver"):
        assert pki.user_kubeconfig(one, user, ["devs"]).is_file()
    assert {path: path.read_bytes() for path in (one.dir / "pki").iterdir()} == before
