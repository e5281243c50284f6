# SPDX-License-Identifier: GPL-2.0-or-later
"""
What topologies with NHRP have in common: a transport network, tunnels, the
firewall's rules that nhrpd is fed by, and waiting for what NHRP knows.

Every member of a DMVPN is connected to the router `inet`, and has a LAN:

                         +--------+
           192.0.2.0/30  |  inet  |  192.0.2.8/30
          +--------------+        +--------------+
          |              +---+----+              |
          |         192.0.2.4/30 |               |
      NAME-eth0          NAME-eth0           NAME-eth0
     +----+----+        +----+----+         +----+----+
     | first   |        | second  |         | third   |
     +----+----+        +----+----+         +----+----+
      NAME-eth1          NAME-eth1           NAME-eth1
     10.1.0.1/24        10.2.0.1/24         10.3.0.1/24

The Nth member has the NBMA address 192.0.2.(4N-2) and on its tunnel NAME-gre0
10.255.255.N/32. Addresses and routes are in each member's frr.conf.
"""

import functools
import json
import os

from lib import topotest
from lib.topogen import TopoRouter, get_topogen
from lib.topolog import logger


def build_dmvpn(tgen, members):
    "Adds the routers: `inet`, and the members in their order."
    tgen.add_router("inet")
    for member in members:
        tgen.add_router(member)
    for number, member in enumerate(members, 1):
        switch = tgen.add_switch("net{}".format(number))
        switch.add_link(tgen.gears["inet"])
        switch.add_link(tgen.gears[member])
    for number, member in enumerate(members, 1):
        switch = tgen.add_switch("lan{}".format(number))
        switch.add_link(tgen.gears[member])


def nbma(number):
    "NBMA address of a member."
    return "192.0.2.{}".format(4 * number - 2)


def overlay(number):
    "Address of a member's tunnel."
    return "10.255.255.{}".format(number)


def lan(number):
    "Address of a member in its LAN, which is a /24."
    return "10.{}.0.1".format(number)


def start(tgen, folder, members, hubs=1, multicast=False):
    """
    Makes tunnels and firewall rules and starts the daemons with
    FOLDER/ROUTER/frr.conf. The first `hubs` members tell nhrpd of traffic that
    leaves by the tunnel that it came by.
    """
    for number, member in enumerate(members, 1):
        commands = [
            "ip tunnel add {0}-gre0 mode gre ttl 64 key 42 dev {0}-eth0 local {1} remote 0.0.0.0",
            "ip link set dev {0}-gre0 mtu 1400 up",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
        ]
        if number <= hubs:
            commands.append(
                "iptables -A FORWARD -i {0}-gre0 -o {0}-gre0 -m hashlimit --hashlimit-upto 1/second "
                "--hashlimit-burst 1 --hashlimit-mode srcip,dstip --hashlimit-srcmask 24 "
                "--hashlimit-dstmask 24 --hashlimit-name nhrp "
                "-j NFLOG --nflog-group 1 --nflog-size 128 --nflog-threshold 1"
            )
        if multicast:
            rule = "iptables -A OUTPUT -d 224.0.0.0/24 -o {0}-gre0 -j "
            commands += [
                rule + "NFLOG --nflog-group 2 --nflog-threshold 1",
                rule + "DROP",
            ]
        for command in commands:
            output = tgen.gears[member].run(command.format(member, nbma(number)))
            assert not output.strip(), "{}: {}: {}".format(member, command, output)
    for name, router in tgen.routers().items():
        router.load_frr_config(os.path.join(folder, name, "frr.conf"))
        if name in members:
            # Older releases look for `router` lines to find out who is to be started.
            router.load_config(TopoRouter.RD_NHRP)
    tgen.start_router()


def running():
    "The topology, unless one of its routers has failed already."
    tgen = get_topogen()
    assert not tgen.routers_have_failure(), tgen.errors
    return tgen


def wait(what, condition, seconds=60):
    """
    Waits until `condition` returns None; whatever else it returns says why it
    does not hold yet.
    """
    logger.info("waiting for %s", what)
    _, result = topotest.run_and_expect(condition, None, count=2 * seconds, wait=0.5)
    assert result is None, "{}: {}".format(what, result)


def table(router, command):
    "The rows of a `show … json` with one table, none if there is no answer yet."
    try:
        shown = json.loads(router.vtysh_cmd(command))
    except ValueError:
        return []
    return shown.get("table", []) if isinstance(shown, dict) else []


def _rows(router, command, wanted, unwanted):
    rows = table(router, command)
    match = lambda row, row_wanted: all(row.get(k) == v for k, v in row_wanted.items())
    missing = [w for w in wanted if not any(match(row, w) for row in rows)]
    surplus = [u for u in unwanted if any(match(row, u) for row in rows)]
    if not missing and not surplus:
        return None
    return {"missing": missing, "surplus": surplus, "shown": rows}


def wait_rows(router, command, wanted, unwanted=(), seconds=60):
    """
    Waits until a table has a row with the members of each of `wanted`, and none
    with those of any of `unwanted`.
    """
    condition = functools.partial(_rows, router, command, wanted, unwanted)
    wait("{}: {}".format(router.name, command), condition, seconds)


def wait_registered(tgen, clients, servers=("hub",), members=None, seconds=60):
    "Waits until clients, given by name, and servers agree on who is registered."
    members = members or list(tgen.routers())[1:]
    number = lambda name: members.index(name) + 1
    for server in servers:
        rows = [
            {"type": "dynamic", "protocol": overlay(n), "nbma": nbma(n)}
            for n in map(number, clients)
        ]
        wait_rows(tgen.gears[server], "show ip nhrp cache json", rows, (), seconds)
    for client in clients:
        rows = [
            {"type": "nhs", "protocol": overlay(n), "nbma": nbma(n)}
            for n in map(number, servers)
        ]
        wait_rows(tgen.gears[client], "show ip nhrp cache json", rows, (), seconds)


def _ping(router, source, target, ttl):
    output = router.run(
        "ping -c 1 -W 2 -t {} -I {} {}".format(ttl, source, target)
    )
    return None if " 1 received" in output else output


def wait_ping(router, source, target, ttl=64, seconds=30):
    "Waits until an echo request is answered."
    condition = functools.partial(_ping, router, source, target, ttl)
    wait("{} to reach {} in {} hops".format(router.name, target, ttl), condition, seconds)


def _shortcut(router, source, target, row):
    # Traffic is what makes a shortcut.
    router.run("ping -c 2 -i 0.4 -W 1 -I {} {}".format(source, target))
    return _rows(router, "show ip nhrp shortcut json", [row], ())


def wait_direct(router, own, other, seconds=60):
    """
    Lets traffic flow from the LAN of member number `own` to that of `other`
    until it takes the direct way.
    """
    row = {"type": "dynamic", "prefix": "10.{}.0.0/24".format(other), "via": overlay(other)}
    condition = functools.partial(_shortcut, router, lan(own), lan(other), row)
    wait("{} to have a shortcut to {}".format(router.name, lan(other)), condition, seconds)
    # One hop: who answers is the next router.
    wait_ping(router, lan(own), lan(other), ttl=1)


def kill_nhrpd(router):
    "Ends nhrpd as a crash does."
    router.run("kill -9 $(cat /var/run/frr/nhrpd.pid); rm -f /var/run/frr/nhrpd.vty")


def start_nhrpd(router):
    "Starts nhrpd again, with its part of the router's configuration."
    router.startDaemons(["nhrpd"])
    condition = lambda: None if router.run("ls /var/run/frr/nhrpd.vty").strip() else "no vty socket"
    wait("{} to have nhrpd again".format(router.name), condition)
    output = router.run("vtysh -d nhrpd -f /etc/frr/frr.conf")
    logger.info("%s: vtysh -f: %s", router.name, output)
