"""Python clients of nhrpd.v1.Events: the example that follows registrations, a table kept by events alone, a reader that
is too slow, and the end of the daemon while they follow.

    python3 follow.py NHRPD PROTO

starts NHRPD in a folder of its own, as client.py does. Exits 0 if every check held.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

import grpc

from client import Vty, make_stubs, refused, start, until

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/examples/follow_registrations.py")
AUTHORITY = [("grpc.default_authority", "localhost")]
# A connection of its own, with a window that does not grow: what is not read waits in the daemon, not in the client.
NARROW = AUTHORITY + [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
SPOKE = ["configure terminal", "interface gre1", "ip nhrp network-id 1", "ip nhrp nhs dynamic nbma 192.0.2.1"]


def run(stub, pb, *lines):
    codes = [part.code for part in stub.Run(pb.ExecRequest(lines=lines)) if part.last]
    assert len(codes) == len(lines) and set(codes) <= {0}, (lines[:5], codes[:5])


class Table:
    """What a client has to do, in full: rows by their keys, numbers without a gap."""

    def __init__(self, pb):
        self.pb, self.rows, self.number, self.lost, self.snapshots = pb, {}, None, 0, 0

    @staticmethod
    def key(row):
        kind = row.WhichOneof("row")
        value = getattr(row, kind)
        keys = {
            "interface": ("name", "family"), "binding": ("interface", "protocol_address"),
            "server": ("interface", "family", "nhs", "instance"), "shortcut": ("prefix",),
            "association": ("local_nbma", "remote_nbma"),
        }[kind]
        return (kind, *(getattr(value, name) for name in keys))

    def take(self, event):
        what = event.WhichOneof("what")
        assert event.time_ms > 1_600_000_000_000, event
        if what == "gap":
            assert event.gap.lost > 0 and event.number == self.number + event.gap.lost, event
            self.lost += event.gap.lost
            self.number = event.number
        elif what == "snapshot":
            assert self.number in (None, event.number), (self.number, event)
            self.number = event.number
            if event.snapshot.first:
                self.rows = {}
            self.rows.update((self.key(row), row) for row in event.snapshot.rows)
            self.snapshots += event.snapshot.last
        else:
            assert event.number == self.number + 1, (self.number, event)
            self.number = event.number
            change, key = event.change, self.key(event.change.row)
            assert (key in self.rows) == (change.operation != change.ADDED), change
            if change.operation == change.REMOVED:
                assert change.reason, change
                del self.rows[key]
            else:
                self.rows[key] = change.row
        return what


class Reader:
    """Reads events on a thread of its own."""

    def __init__(self, stub, pb, **wanted):
        self.call = stub.Subscribe(pb.SubscribeRequest(**wanted))
        self.table, self.error, self.ended = Table(pb), None, threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for event in self.call:
                self.table.take(event)
        except grpc.RpcError as error:
            self.error = error
        finally:
            self.ended.set()

    def servers(self):
        return {key[3] for key in list(self.table.rows) if key[0] == "server"}


def check_table(stubs, pb):
    events, exec_ = stubs
    everything = Reader(events, pb)
    of_gre2 = Reader(events, pb, interfaces=["gre2"])
    interfaces = Reader(events, pb, kinds=[pb.SubscribeRequest.INTERFACES])
    until(lambda: everything.table.snapshots == of_gre2.table.snapshots == interfaces.table.snapshots == 1, "snapshots")
    assert everything.servers() == {"192.0.2.1"}, everything.table.rows
    row = everything.table.rows["server", "gre1", "ipv4", "192.0.2.1", 1].server
    assert row.state == "stopped" and "no such interface" in row.reason, row
    run(exec_, pb, "configure terminal", "interface gre1", "ip nhrp nhs 10.0.0.2 nbma 192.0.2.2",
        "interface gre2", "ip nhrp network-id 2", "ip nhrp nhs dynamic nbma 192.0.2.3", "interface gre1",
        "no ip nhrp nhs dynamic nbma 192.0.2.1")
    until(lambda: everything.servers() == {"192.0.2.2", "192.0.2.3"} and of_gre2.servers() == {"192.0.2.3"}, "changes")
    assert {key[1] for key in of_gre2.table.rows} == {"gre2"}, of_gre2.table.rows
    until(lambda: set(interfaces.table.rows) == {("interface", name, "ipv4") for name in ("gre1", "gre2")}, "gre2")
    # Nothing that is the same once more.
    number = everything.table.number
    run(exec_, pb, "configure terminal", "interface gre1", "ip nhrp holdtime 100", "ip nhrp holdtime 200")
    run(exec_, pb, "configure terminal", "interface gre1", "ip nhrp nhs dynamic nbma 192.0.2.1")
    until(lambda: "192.0.2.1" in everything.servers(), "the last change")
    assert everything.table.number == number + 1, everything.table.number
    for reader in (everything, of_gre2, interfaces):
        assert reader.error is None and reader.table.lost == 0, reader.error
        reader.call.cancel()
    error = refused("stream", lambda: events.Subscribe(pb.SubscribeRequest(kinds=[77])))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def check_slow(stubs, slow, pb, vty):
    """One that does not read keeps nobody waiting, and learns what it has lost."""
    events, exec_ = stubs
    fast = Reader(events, pb)
    call = slow.Subscribe(pb.SubscribeRequest())
    table = Table(pb)
    assert table.take(next(call)) == "snapshot"
    server = "ip nhrp nhs 10.0.0.9 nbma 192.0.2.9"
    churn = ["configure terminal", "interface gre1", *[server, "no " + server] * 2000]
    began = time.monotonic()
    for _ in range(2):
        run(exec_, pb, *churn)
    took = time.monotonic() - began
    longest = 0
    for _ in range(50):
        began = time.monotonic()
        assert vty.ask("show version")[1] == 0
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.5, longest
    until(lambda: fast.table.number >= 8000 or fast.table.lost, "the fast reader")
    seen = []
    for event in call:
        what = table.take(event)
        if what == "gap":
            seen = []
        seen.append(what)
        if table.lost and what == "snapshot" and event.snapshot.last:
            break
    assert table.lost > 500 and table.snapshots == 2, (table.lost, table.snapshots)
    assert seen == ["gap", "snapshot"], seen
    run(exec_, pb, "configure terminal", "interface gre1", server)
    while ("server", "gre1", "ipv4", "192.0.2.9", 1) not in table.rows:
        table.take(next(call))
    until(lambda: "192.0.2.9" in fast.servers(), "the fast reader")
    assert set(table.rows) == set(fast.table.rows), (set(table.rows) ^ set(fast.table.rows))
    print(f"8000 changes in {took:.1f} s; the fast reader lost {fast.table.lost}, the slow one {table.lost}; the vty "
          f"answered within {longest * 1000:.0f} ms")
    call.cancel()
    fast.call.cancel()


def check_limit(events, pb):
    readers = []
    while len(readers) < 17:
        # Those that were cancelled go a moment later.
        reader = Reader(events, pb)
        until(lambda: reader.table.snapshots or reader.ended.is_set(), "an answer")
        if reader.ended.is_set():
            assert reader.error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, reader.error
            if len(readers) == 16:
                break
            time.sleep(0.05)
            continue
        readers.append(reader)
    assert len(readers) == 16, len(readers)
    readers.pop().call.cancel()

    def another():
        reader = Reader(events, pb)
        until(lambda: reader.table.snapshots or reader.ended.is_set(), "an answer")
        return reader if reader.table.snapshots else None

    readers.append(until(another, "a place"))
    return readers


class Example:
    """The program in docs/examples."""

    def __init__(self, where, proto, *options):
        self.process = subprocess.Popen(
            [sys.executable, EXAMPLE, where, "--proto", proto, "--json", *options], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self):
        return self.lines.get(timeout=20)


def check_example(where, proto, exec_, pb):
    example = Example(where, proto, "--interface", "gre1")
    line = example.next()
    assert (line["happened"], line["server"], line["state"]) == ("new", "192.0.2.1", "stopped"), line
    assert line["number"] == 0 and "no such interface" in line["reason"], line
    server = "ip nhrp nhs dynamic nbma 192.0.2.7"
    run(exec_, pb, "configure terminal", "interface gre1", server)
    line = example.next()
    assert (line["happened"], line["server"]) == ("new", "192.0.2.7"), line
    run(exec_, pb, "configure terminal", "interface gre1", "no ip nhrp network-id 1")
    lines = [example.next() for _ in range(2)]
    assert {line["happened"] for line in lines} == {"changed"}, lines
    assert all("network-id" in line["reason"] for line in lines), lines
    run(exec_, pb, "configure terminal", "interface gre1", "ip nhrp network-id 1", "no " + server)
    lines = [example.next() for _ in range(3)]
    assert lines[-1]["happened"] == "gone" and lines[-1]["reason"] == "not configured any more", lines
    return example


def main():
    nhrpd, proto = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        import nhrpd_v1_pb2 as pb
        import nhrpd_v1_pb2_grpc as rpc

        where = "unix:" + os.path.join(folder, "grpc")
        daemon = start(nhrpd, folder, "--grpc-listen", where)
        try:
            vty = Vty(os.path.join(folder, "nhrpd.vty"))
            with grpc.insecure_channel(where, options=AUTHORITY) as channel, \
                    grpc.insecure_channel(where, options=NARROW) as other:
                stubs = rpc.EventsStub(channel), rpc.ExecStub(channel)
                run(stubs[1], pb, *SPOKE)
                # Not without --grpc-reflection.
                health = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert refused("unary", lambda: health(b"")).code() == grpc.StatusCode.UNIMPLEMENTED
                example = check_example(where, proto, stubs[1], pb)
                check_table(stubs, pb)
                check_slow(stubs, rpc.EventsStub(other), pb, vty)
                example.process.terminate()
                readers = check_limit(stubs[0], pb)
                # It ends while they follow, and they are told.
                began = time.monotonic()
                daemon.terminate()
                assert daemon.wait(10) == 0, daemon.returncode
                took = time.monotonic() - began
                assert took < 2, took
                for reader in readers:
                    assert reader.ended.wait(5)
                    assert reader.error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), reader.error
                print(f"ended within {took:.2f} s with 16 that follow")
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print("every check held")


main()
