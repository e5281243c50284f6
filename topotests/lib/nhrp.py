# SPDX-License-Identifier: GPL-2.0-or-later
"""
What topologies with NHRP have in common: a transport network, tunnels, the
firewall's rules that nhrpd is fed by, and waiting for what NHRP knows, what
zebra and the kernel made of it, and what gets through.

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

import configparser
import functools
import json
import os
import re
import subprocess
import time

import pytest

from lib.topogen import TopoRouter, get_topogen
from lib.topolog import logger

# Linux's number of the protocol of NHRP's routes; older iproute2 has no name for it.
PROTO_NHRP = 191


def installed(program):
    "Where a daemon, or what is beside the daemons, is installed."
    ini = configparser.ConfigParser()
    ini.read(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../pytest.ini"))
    return os.path.join(ini.get("topogen", "frrdir", fallback="/usr/lib/frr"), program)


def _said(*command):
    "What a program says, by whatever channel."
    channels = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, check=False, **channels).stdout.decode()


def _version(daemon):
    "Version of an installed daemon, such as (8, 4, 4)."
    said = _said(installed(daemon), "-v")
    numbers = re.match(r"\S+ version (\d+)\.(\d+)(?:\.(\d+))?", said)
    assert numbers, said
    return tuple(int(number or 0) for number in numbers.groups())


def nhrpd_reads(file):
    "Whether nhrpd knows every line of a file."
    return not _said(installed("nhrpd"), "-C", "-f", file).strip()


def needs_release(release, what):
    "Skips the module where FRR is older, before anything is set up."
    if _version("zebra") < release:
        name = ".".join(str(number) for number in release)
        pytest.skip("{} is there since release {}".format(what, name))


def frrs_own():
    "Whether nhrpd is that of the FRR around it: it has the same version."
    return _version("nhrpd") == _version("zebra")


def beyond_frr(reason):
    """
    For a test of what FRR's own nhrpd does not do: with it, its failure counts
    as a skip. (FRR's conftest.py takes an expected failure for an error, and no
    test would run after it.)
    """

    def decorate(test):
        @functools.wraps(test)
        def run():
            running()
            try:
                test()
            except AssertionError as error:
                if not frrs_own():
                    raise
                logger.info("expected of FRR's nhrpd: %s", error)
                pytest.skip("FRR's nhrpd: {}".format(reason))

        return run

    return decorate


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


def start(tgen, folder, members, hubs=1, multicast=False, daemons=()):
    """
    Makes tunnels and firewall rules and starts the daemons with
    FOLDER/ROUTER/frr.conf: zebra and what comes with it, on members nhrpd and
    `daemons`. The first `hubs` members tell nhrpd of traffic that leaves by the
    tunnel that it came by; with `multicast` all tell it of multicast.
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
            silently(tgen.gears[member], command.format(member, nbma(number)))
    for name, router in tgen.routers().items():
        router.load_config(TopoRouter.RD_FRR, os.path.join(folder, name, "frr.conf"))
        # Named, because releases differ in what they find out from the file.
        wanted = [TopoRouter.RD_ZEBRA]
        if name in members:
            wanted += [TopoRouter.RD_NHRP, *daemons]
        for daemon in wanted:
            router.load_config(daemon, "")
    tgen.start_router()


def silently(router, command):
    "Runs a command that says something only if it fails."
    output = router.run(command)
    assert not output.strip(), "{}: {}: {}".format(router.name, command, output)


def configure(router, *lines):
    "Types lines in configuration mode; none may be refused."
    typed = " ".join("-c '{}'".format(line) for line in ("configure",) + lines)
    output = router.run("vtysh " + typed)
    refused = "%" in output.replace("% Configuration applied", "")
    assert not refused, "{}: {}: {}".format(router.name, lines, output)


def running():
    "The topology, unless one of its routers has failed already."
    tgen = get_topogen()
    assert not tgen.routers_have_failure(), tgen.errors
    return tgen


def wait(what, condition, seconds=60):
    """
    Waits until `condition` returns None; whatever else it returns says why it
    does not hold yet. It is asked 20 times at least, which takes longer where
    commands take long.
    """
    logger.info("waiting for %s", what)
    end, tries = time.monotonic() + seconds, 0
    while True:
        result = condition()
        if result is None:
            return
        tries += 1
        assert tries < 20 or time.monotonic() < end, "{}: {}".format(what, result)
        time.sleep(0.5)


def shown(router, command):
    "What a `show … json` answers, an empty object if there is no answer yet."
    try:
        answer = json.loads(router.vtysh_cmd(command))
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def table(router, command):
    "The rows of a `show … json` with one table, none if there is no answer yet."
    return shown(router, command).get("table", [])


def _match(row, wanted):
    return all(row.get(key) == value for key, value in wanted.items())


def _rows(router, command, wanted, unwanted):
    rows = table(router, command)
    missing = [w for w in wanted if not any(_match(row, w) for row in rows)]
    surplus = [u for u in unwanted if any(_match(row, u) for row in rows)]
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


def _known(router, number, there):
    peer = overlay(number)
    entry = {"protocol": "nhrp", "selected": True, "installed": True}
    routes = shown(router, "show ip route {}/32 json".format(peer))
    installed = any(_match(r, entry) for r in routes.get(peer + "/32", []))
    neighbour = router.run("ip neigh show {} dev {}-gre0".format(peer, router.name))
    kernels = router.run("ip route show {}/32 proto {}".format(peer, PROTO_NHRP))
    if there:
        right = (
            installed
            and "lladdr {} ".format(nbma(number)) in neighbour
            and "dev {}-gre0".format(router.name) in kernels
        )
    else:
        right = not installed and not kernels.strip()
    return None if right else {"zebra": routes, "kernel": [kernels, neighbour]}


def wait_known(router, number, there=True, seconds=60):
    """
    Waits until a member is a neighbour behind the tunnel to the kernel, and
    zebra has NHRP's route to it; or until neither has a route to it.
    """
    condition = functools.partial(_known, router, number, there)
    wait("{} to know {}: {}".format(router.name, overlay(number), there), condition, seconds)


def wait_registered(tgen, clients, servers=("hub",), members=None, seconds=60):
    """
    Waits until clients, given by name, and servers agree on who is registered,
    and zebra and the kernel of each know the other.
    """
    members = members or list(tgen.routers())[1:]
    places = [(server, clients, "dynamic") for server in servers]
    places += [(client, servers, "nhs") for client in clients]
    for name, others, kind in places:
        numbers = [members.index(other) + 1 for other in others]
        rows = [
            {"type": kind, "protocol": overlay(n), "nbma": nbma(n)} for n in numbers
        ]
        router = tgen.gears[name]
        wait_rows(router, "show ip nhrp cache json", rows, (), seconds)
        for number in numbers:
            wait_known(router, number, True, seconds)


def _ping(router, source, target, ttl):
    output = router.run("ping -c 1 -W 2 -t {} -I {} {}".format(ttl, source, target))
    return None if " 1 received" in output else output


def wait_ping(router, source, target, ttl=64, seconds=30):
    "Waits until an echo request is answered."
    condition = functools.partial(_ping, router, source, target, ttl)
    wait("{} to reach {} in {} hops".format(router.name, target, ttl), condition, seconds)


def wait_via(router, own, other, member, seconds=60):
    """
    Waits until the kernel sends what goes from the LAN of `own` to that of
    `other` to a member; to nobody by the tunnel if that is None.
    """

    def condition():
        way = router.run("ip route get {} from {}".format(lan(other), lan(own)))
        if member is None:
            return way if "dev {}-gre0".format(router.name) in way else None
        return None if "via {} ".format(overlay(member)) in way else way

    wait("{} to send to {} via {}".format(router.name, lan(other), member), condition, seconds)


def _direct(router, own, other):
    # Traffic is what makes a shortcut.
    router.run("ping -c 2 -i 0.4 -W 1 -I {} {}".format(lan(own), lan(other)))
    row = {
        "type": "dynamic",
        "prefix": "10.{}.0.0/24".format(other),
        "via": overlay(other),
    }
    missing = _rows(router, "show ip nhrp shortcut json", [row], ())
    if missing:
        return missing
    way = router.run("ip route get {} from {}".format(lan(other), lan(own)))
    # To some releases of FRR's nhrpd hosts behind a shortcut are neighbours.
    hop = re.search(r"(?:via (\S+) )?dev {}-gre0 ".format(router.name), way)
    if not hop:
        return way
    hop = hop.group(1) or lan(other)
    neighbour = router.run("ip neigh show {} dev {}-gre0".format(hop, router.name))
    right = "lladdr {} ".format(nbma(other)) in neighbour
    return None if right else [way, neighbour]


def wait_direct(router, own, other, seconds=60):
    """
    Lets traffic flow from the LAN of member number `own` to that of `other`
    until it takes the direct way, to nhrpd, to the kernel and to itself.
    """
    condition = functools.partial(_direct, router, own, other)
    wait("{} to have a shortcut to {}".format(router.name, lan(other)), condition, seconds)
    # One hop: who answers is the next router.
    wait_ping(router, lan(own), lan(other), ttl=1)


def cut(tgen, number):
    "Lets nobody in the transport network reach a member, who notices nothing else."
    for side in ("-s", "-d"):
        rule = "iptables -A FORWARD {} {} -j DROP".format(side, nbma(number))
        silently(tgen.gears["inet"], rule)


def mend(tgen, number):
    "The opposite of `cut`."
    for side in ("-s", "-d"):
        rule = "iptables -D FORWARD {} {} -j DROP".format(side, nbma(number))
        silently(tgen.gears["inet"], rule)


def count_from(router, number):
    "Makes a router count what arrives from a member through the transport network."
    rule = "iptables -I INPUT -p gre -s {}".format(nbma(number))
    silently(router, rule)


def wait_counted(router, number, packets, seconds=60):
    "Waits until so many packets have been counted by `count_from`."
    command = "iptables -nvxL INPUT | grep -w {}".format(nbma(number))

    def condition():
        counted = router.run(command).split()
        return None if counted and int(counted[0]) >= packets else counted

    wait("{} to hear {} {} times".format(router.name, nbma(number), packets), condition, seconds)


def pid(router, daemon):
    "Number of a daemon's process."
    return router.run("cat /var/run/frr/{}.pid".format(daemon)).strip()


def stop(router, daemon, signal):
    "Ends a daemon and waits until it has ended."
    # Who checks that all daemons run should not miss it.
    router.net.daemons[daemon] = 0
    number = pid(router, daemon)
    router.run("kill -{} {}".format(signal, number))
    # Nobody may be there to take note of its end.
    there = "grep '^State:.*[^Z] (' /proc/{}/status 2> /dev/null".format(number)
    wait(
        "{}'s {} to end".format(router.name, daemon),
        lambda: router.run(there).strip() or None,
    )
    router.run("rm -f /var/run/frr/{}.vty".format(daemon))


def start_again(router, daemon):
    "Starts a daemon again, with its part of the router's configuration."
    router.net.daemons[daemon] = 1
    router.startDaemons([daemon])
    there = "test -S /var/run/frr/{}.vty && echo there".format(daemon)
    wait(
        "{} to have {} again".format(router.name, daemon),
        lambda: None if router.run(there).strip() else "no vty socket",
    )
    output = router.run("vtysh -d {} -f /etc/frr/frr.conf".format(daemon))
    logger.info("%s: vtysh -f: %s", router.name, output)
