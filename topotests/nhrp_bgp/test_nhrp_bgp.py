#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_bgp.py: BGP tells spokes of LANs by way of the hub, NHRP shortens it, BGP rules

The hub announces the tunnel's addresses, too: FRR's nhrpd answers only those
that it has a route to. Its configuration is read by every release from 8.4.
"""

import functools
import os
import sys

import pytest

CWD = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(CWD, "../"))

# pylint: disable=C0413
from lib import nhrp
from lib.topogen import Topogen, TopoRouter, get_topogen

pytestmark = [pytest.mark.nhrpd, pytest.mark.bgpd]

MEMBERS = ["hub", "s1", "s2"]


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS, daemons=[TopoRouter.RD_BGP])


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


PREFIX = "10.3.0.0/24"


def _peers(hub, wanted):
    said = nhrp.shown(hub, "show bgp ipv4 unicast summary json")
    peers = said.get("ipv4Unicast", said).get("peers", {})
    up = [name for name, peer in peers.items() if peer.get("state") == "Established"]
    return None if sorted(up) == [nhrp.overlay(n) for n in wanted] else said


def _bgp(router, prefix, via):
    said = nhrp.shown(router, "show bgp ipv4 unicast {} json".format(prefix))
    hops = [hop["ip"] for path in said.get("paths", []) for hop in path["nexthops"]]
    return None if hops == [nhrp.overlay(via)] else said or "no route"


def _selected(router, prefix):
    "The protocols whose routes to a prefix zebra has selected."
    routes = nhrp.shown(router, "show ip route {} json".format(prefix)).get(prefix, [])
    return [route["protocol"] for route in routes if route.get("selected")]


def _announce(tgen, negation):
    nhrp.configure(
        tgen.gears["s2"],
        "router bgp 65000",
        "address-family ipv4 unicast",
        "{}network {}".format(negation, PREFIX),
    )


def test_bgp_routes():
    "Every LAN is known everywhere, and leads through the hub."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1", "s2"])
    condition = functools.partial(_peers, tgen.gears["hub"], [2, 3])
    nhrp.wait("the hub to have both peers", condition, 90)
    for name, prefix, via in (
        ("s1", PREFIX, 1),
        ("s2", "10.2.0.0/24", 1),
        ("hub", PREFIX, 3),
        ("s2", "10.255.255.0/24", 1),
    ):
        condition = functools.partial(_bgp, tgen.gears[name], prefix, via)
        nhrp.wait("{} to hear of {}".format(name, prefix), condition, 90)
    nhrp.wait_via(tgen.gears["s1"], 2, 3, 1)
    nhrp.wait_ping(tgen.gears["s1"], nhrp.lan(2), nhrp.lan(3))


def test_direct():
    "A shortcut to what BGP told of is used."
    tgen = nhrp.running()
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)
    reason = _bgp(tgen.gears["s1"], PREFIX, 1)
    assert reason is None, reason


@nhrp.beyond_frr("it takes the place of BGP's route to the same prefix")
def test_bgp_stays_selected():
    "The shortcut does not hide BGP's route from zebra."
    s1 = nhrp.running().gears["s1"]
    nhrp.wait_direct(s1, 2, 3)
    selected = _selected(s1, PREFIX)
    assert selected == ["bgp"], selected


@nhrp.beyond_frr("it is not told of the end of a route that its shortcut hides")
def test_withdrawal():
    "What BGP withdraws is reached no more: the shortcut goes with the route."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    nhrp.wait_direct(s1, 2, 3)
    _announce(tgen, "no ")
    condition = lambda: None if _bgp(s1, PREFIX, 1) else "still there"
    nhrp.wait("s1 to hear that {} is gone".format(PREFIX), condition)
    # The holding time is four times as long.
    nhrp.wait_via(s1, 2, 3, None, seconds=30)
    gone = [{"prefix": PREFIX}]
    nhrp.wait_rows(s1, "show ip nhrp shortcut json", [], gone, seconds=10)


def test_announced_again():
    "What it announces again is found again."
    tgen = nhrp.running()
    _announce(tgen, "")
    condition = functools.partial(_bgp, tgen.gears["s1"], PREFIX, 1)
    nhrp.wait("s1 to hear of {} again".format(PREFIX), condition)
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))
