#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_priority.py: a client registers with the best of its servers that answers

Priorities are a command of vtysh's after release 10.7. A nhrpd that knows them
although vtysh does not reads them from /etc/frr/nhrpd-extra.conf. Where nhrpd
does not know them either the test is skipped.
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

MEMBERS = ["nhs1", "nhs2", "c1"]


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    lines = os.path.join(CWD, "c1/priority.conf")
    if not nhrp.nhrpd_reads(lines):
        pytest.skip("neither this vtysh nor this nhrpd knows `nhs ... priority`")
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    c1 = tgen.gears["c1"]
    c1.run("install -m 644 {} /etc/frr/nhrpd-extra.conf".format(lines))
    nhrp.start(tgen, CWD, MEMBERS, hubs=2)
    # A vtysh that does not know them sends nothing.
    c1.run("vtysh -f {}".format(lines))


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def _served_by(tgen, best, other):
    "Client, server, zebra and the kernel agree that one serves, and that the other does not."
    c1 = tgen.gears["c1"]
    rows = [{"type": "nhs", "protocol": nhrp.overlay(best), "nbma": nhrp.nbma(best)}]
    unwanted = [{"type": "nhs", "protocol": nhrp.overlay(other)}]
    nhrp.wait_rows(c1, "show ip nhrp cache json", rows, unwanted, seconds=90)
    nhrp.wait_known(c1, best)
    nhrp.wait_known(c1, other, False)
    rows = [{"type": "dynamic", "protocol": nhrp.overlay(3), "nbma": nhrp.nbma(3)}]
    server = tgen.gears["nhs{}".format(best)]
    nhrp.wait_rows(server, "show ip nhrp cache json", rows)
    nhrp.wait_ping(c1, nhrp.lan(3), nhrp.lan(best))


def test_first_serves():
    "The server of the least number serves, the other one is not asked."
    tgen = nhrp.running()
    _served_by(tgen, 1, 2)
    rows = nhrp.table(tgen.gears["nhs2"], "show ip nhrp cache json")
    assert not [row for row in rows if row.get("type") == "dynamic"], rows


def test_second_stands_in():
    "It is registered with when the first cannot be reached any more."
    tgen = nhrp.running()
    nhrp.cut(tgen, 1)
    _served_by(tgen, 2, 1)


def test_first_is_preferred():
    "It is left again when the first is back."
    tgen = nhrp.running()
    nhrp.mend(tgen, 1)
    _served_by(tgen, 1, 2)


def test_what_vtysh_collects():
    "The running configuration has no line that vtysh could not read back."
    c1 = nhrp.running().gears["c1"]
    c1.run("vtysh -c 'show running-config' | tail -n +4 > /etc/frr/collected.conf")
    collected = c1.run("cat /etc/frr/collected.conf")
    assert "ip nhrp network-id 42" in collected, collected
    complaint = c1.run("vtysh -C -f /etc/frr/collected.conf")
    assert not complaint.strip(), complaint


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))
