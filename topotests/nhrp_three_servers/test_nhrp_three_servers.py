#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_three_servers.py: clients with three servers lose two of them and get them back

The first becomes unreachable, as by a broken line, the second's nhrpd crashes.
The configuration is read by every release from 8.4.
"""

import os
import sys

import pytest

CWD = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(CWD, "../"))

# pylint: disable=C0413
from lib import nhrp
from lib.topogen import Topogen, get_topogen

pytestmark = [pytest.mark.nhrpd]

MEMBERS = ["nhs1", "nhs2", "nhs3", "c1", "c2"]
SERVERS, CLIENTS = MEMBERS[:3], MEMBERS[3:]


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS, hubs=3)


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def test_all_serve():
    "Both clients are registered with all three, and their traffic takes the first."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, CLIENTS, SERVERS, MEMBERS, seconds=90)
    nhrp.wait_via(tgen.gears["c1"], 4, 5, 1)
    nhrp.wait_via(tgen.gears["c2"], 5, 4, 1)
    nhrp.wait_ping(tgen.gears["c1"], nhrp.lan(4), nhrp.lan(5))


def test_shortcut_outlives_its_server():
    "Traffic on the direct way does not notice that the server which showed it is gone."
    tgen = nhrp.running()
    c1 = tgen.gears["c1"]
    nhrp.wait_direct(c1, 4, 5)
    nhrp.cut(tgen, 1)
    # For a third of the time that the direct way is good for without a server.
    output = c1.run("ping -c 20 -i 0.4 -I {} {}".format(nhrp.lan(4), nhrp.lan(5)))
    assert " 20 received" in output, output


def test_second_and_third_stand_in():
    "When the first is given up the second serves, and when that one goes, too, the third."
    tgen = nhrp.running()
    for client in CLIENTS:
        router = tgen.gears[client]
        rows = [{"type": "nhs", "protocol": nhrp.overlay(2)}]
        gone = [{"protocol": nhrp.overlay(1)}]
        nhrp.wait_rows(router, "show ip nhrp cache json", rows, gone)
        nhrp.wait_known(router, 1, False)
    c1 = tgen.gears["c1"]
    c1.vtysh_cmd("clear ip nhrp shortcut")
    nhrp.wait_via(c1, 4, 5, 2)
    nhrp.wait_ping(c1, nhrp.lan(4), nhrp.lan(5))
    nhrp.stop(tgen.gears["nhs2"], "nhrpd", "KILL")
    for client in CLIENTS:
        nhrp.wait_known(tgen.gears[client], 2, False)
    c1.vtysh_cmd("clear ip nhrp shortcut")
    nhrp.wait_via(c1, 4, 5, 3)
    nhrp.wait_ping(c1, nhrp.lan(4), nhrp.lan(5))


def test_all_are_back():
    "Servers that come back are registered with again, and the first serves."
    tgen = nhrp.running()
    c1 = tgen.gears["c1"]
    nhrp.mend(tgen, 1)
    nhrp.start_again(tgen.gears["nhs2"], "nhrpd")
    # Who has asked in vain for long asks seldom.
    nhrp.wait_registered(tgen, CLIENTS, SERVERS, MEMBERS, seconds=120)
    c1.vtysh_cmd("clear ip nhrp shortcut")
    nhrp.wait_via(c1, 4, 5, 1)
    nhrp.wait_direct(c1, 4, 5)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))
