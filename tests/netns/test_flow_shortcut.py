# SPDX-License-Identifier: Apache-2.0
"""Flows whose packets the kernel rewrites itself (docs/dataplane.md): the same as through the process, and past it."""
import socket
import threading

from conftest import DEADLINE_S, rig_of, wait_for
from flowrig import TARGETS, FlowRig, in_netns

# The tests that are about more than the first packets of a connection, again.
from test_flow import (  # noqa: F401  pylint: disable=unused-import
    FAMILIES,
    test_200_connections_at_once,
    test_addresses_again_right_away,
    test_data_is_intact,
    test_half_close,
    test_idle_connection_lives,
    test_many_short_connections,
    test_reset_passes,
    test_strangers_cannot_use_the_listener,
    test_two_targets_from_one_port,
)

BULK = 30_000_000


class ShortcutRig(FlowRig):
    environment = {"FLOWECHO_SHORTCUT": "1"}


rig = rig_of(ShortcutRig)


def drain(sock, total):
    while total > 0:
        got = len(sock.recv(1 << 20))
        assert got, "ended early"
        total -= got


@FAMILIES
def test_bulk_goes_past_the_process(rig, family):  # noqa: F811
    """Both ways; what is left for the process are the packets that open and end a connection, and those just behind."""
    server, port = rig.listen(family)
    rig.laptop.run("nft", "table inet marks { chain i { type filter hook input priority 0; meta mark 7 counter name m; }; counter m {}; }")

    def both_ways():
        with socket.create_connection((TARGETS[family], port), timeout=DEADLINE_S) as client:
            # A mark of the application stays on its side of the device.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
            far = server.accept()[0]
            far.settimeout(DEADLINE_S)
            for source, sink in ((client, far), (far, client)):
                sender = threading.Thread(target=source.sendall, args=(bytes(BULK),))
                sender.start()
                drain(sink, BULK)
                sender.join()
            far.close()

    before = rig.counters()
    in_netns(rig.laptop, both_ways)
    wait_for(lambda: rig.counters()["packets_shortcut"] > before["packets_shortcut"], "the flow's end")
    after = rig.counters()
    assert after["tcp_shortcut"] == before["tcp_shortcut"] + 1
    # 64 KiB at most in a packet.
    assert after["packets_shortcut"] - before["packets_shortcut"] > 2 * BULK / 65536
    assert after["packets_in"] - before["packets_in"] < 200
    assert after["stray"] == after["malformed"] == 0
    assert "packets 0 " in rig.laptop.run("nft", "list counter inet marks m").stdout
