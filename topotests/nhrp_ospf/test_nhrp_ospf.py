#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_ospf.py: OSPF's multicast crosses the tunnel, and NHRP shortens the way of its routes

Its configuration is read by every release from 8.4.
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

pytestmark = [pytest.mark.nhrpd, pytest.mark.ospfd]

MEMBERS = ["hub", "s1", "s2"]


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS, multicast=True, daemons=[TopoRouter.RD_OSPF])


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def _neighbours(router, wanted):
    said = router.vtysh_cmd("show ip ospf neighbor")
    full = [line.split()[0] for line in said.splitlines() if "Full/" in line]
    return None if sorted(full) == [nhrp.overlay(n) for n in wanted] else said


def _wait_neighbours(tgen, hubs):
    for name, wanted in (("hub", hubs), ("s1", [1] if 2 in hubs else []), ("s2", [1])):
        condition = functools.partial(_neighbours, tgen.gears[name], wanted)
        nhrp.wait("{} to be adjacent to {}".format(name, wanted), condition, 90)


def _ospf_route(router, number, via):
    prefix = "10.{}.0.0/24".format(number)
    entry = {"protocol": "ospf", "selected": True}
    routes = nhrp.shown(router, "show ip route {} json".format(prefix)).get(prefix, [])
    hops = [
        hop.get("ip")
        for route in routes
        if all(route.get(key) == value for key, value in entry.items())
        for hop in route.get("nexthops", [])
    ]
    return None if hops == [nhrp.overlay(via)] else routes


def _wait_routes(tgen):
    for name, number, via in (("s1", 3, 1), ("s2", 2, 1), ("hub", 2, 2), ("hub", 3, 3)):
        condition = functools.partial(_ospf_route, tgen.gears[name], number, via)
        nhrp.wait("{}'s route to LAN {} by OSPF".format(name, number), condition, 90)


def test_adjacencies():
    "The hub has an adjacency with each spoke, a spoke with the hub alone."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1", "s2"])
    _wait_neighbours(tgen, [2, 3])


def test_routes():
    "Everybody knows of every LAN by OSPF, a spoke of the other one's through the hub."
    tgen = nhrp.running()
    _wait_routes(tgen)
    nhrp.wait_ping(tgen.gears["s1"], nhrp.lan(2), nhrp.lan(3))


def test_direct():
    "Traffic leaves the hub aside, and the adjacencies do not care."
    tgen = nhrp.running()
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)
    nhrp.wait_direct(tgen.gears["s2"], 3, 2)
    _wait_neighbours(tgen, [2, 3])


@nhrp.beyond_frr("it takes the place of OSPF's route to the same prefix")
def test_ospf_stays_selected():
    "The shortcut does not hide OSPF's route from zebra."
    tgen = nhrp.running()
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)
    reason = _ospf_route(tgen.gears["s1"], 3, 1)
    assert reason is None, reason


def test_no_map():
    "Without `map multicast` the Hellos of a spoke arrive no more, and do again with it."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    line = "ip nhrp map multicast {}".format(nhrp.nbma(1))
    nhrp.configure(s1, "interface s1-gre0", "no " + line)
    _wait_neighbours(tgen, [3])
    nhrp.configure(s1, "interface s1-gre0", line)
    _wait_neighbours(tgen, [2, 3])
    nhrp.wait_ping(s1, nhrp.lan(2), nhrp.lan(3), seconds=60)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))
