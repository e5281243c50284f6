#!/usr/bin/env python3
"""Follows registrations: those of clients at a hub, and a spoke's own with its servers.

    follow_registrations.py unix:/run/frr/nhrpd.grpc
    follow_registrations.py 127.0.0.1:50051 --interface gre1 --json

prints a line for each that is there, and from then on one for each that comes, moves or goes, until it is interrupted.
Needs grpcio, and stubs of yang/northbound/proto/nhrpd-v1.proto: made here from the file that --proto names (needs
grpcio-tools), or found by Python if somebody has made them:

    python3 -m grpc_tools.protoc -I yang/northbound/proto --python_out=. --grpc_python_out=. nhrpd-v1.proto
"""

import argparse
import importlib
import json
import os
import sys
import tempfile

import grpc


def stubs(proto):
    """The modules of messages and calls."""
    if proto:
        from grpc_tools import protoc

        with tempfile.TemporaryDirectory() as folder:
            protoc.main([
                "protoc", "-I" + (os.path.dirname(proto) or "."), "--python_out=" + folder,
                "--grpc_python_out=" + folder, proto,
            ])
            sys.path.insert(0, folder)
            return importlib.import_module("nhrpd_v1_pb2"), importlib.import_module("nhrpd_v1_pb2_grpc")
    return importlib.import_module("nhrpd_v1_pb2"), importlib.import_module("nhrpd_v1_pb2_grpc")


def channel(where):
    """To where the daemon listens (--grpc-listen)."""
    # For a unix socket grpcio would otherwise name an authority that is none for HTTP/2.
    return grpc.insecure_channel(where, options=[("grpc.default_authority", "localhost")])


class Registrations:
    """What is registered, kept up to date by events."""

    def __init__(self):
        self.known = {}

    def take(self, event):
        """Yields what an event changes: what happened, and to what."""
        what = event.WhichOneof("what")
        if what == "gap":
            # What is missing cannot be known; a snapshot with everything follows.
            yield "lost", {"changes": event.gap.lost}
        elif what == "snapshot":
            if event.snapshot.first:
                self.former, self.known = self.known, {}
            for row in event.snapshot.rows:
                yield from self.put(row, self.former)
            if event.snapshot.last:
                for key, gone in self.former.items():
                    if key not in self.known:
                        yield "gone", {**gone, "reason": "while changes were lost"}
        elif what == "change":
            change = event.change
            if change.operation == change.REMOVED:
                gone = self.known.pop(self.key(change.row), None)
                if gone:
                    yield "gone", {**gone, "reason": change.reason}
            else:
                yield from self.put(change.row, self.known)

    @staticmethod
    def key(row):
        kind = row.WhichOneof("row")
        if kind == "binding":
            return kind, row.binding.interface, row.binding.protocol_address
        return kind, row.server.interface, row.server.family, row.server.nhs, row.server.instance

    def put(self, row, former):
        key = self.key(row)
        if row.WhichOneof("row") == "binding":
            entry = row.binding
            # A cache has more than what clients registered: own addresses, servers, peers of shortcuts.
            if (entry.type, entry.origin) != ("dynamic", "registered"):
                gone = former.pop(key, None)
                if gone:
                    yield "gone", {**gone, "reason": "its address has become another kind of entry"}
                return
            facts = {
                "client": entry.protocol_address, "interface": entry.interface, "nbma": entry.nbma_address,
                "up": entry.up,
            }
        else:
            server = row.server
            facts = {
                "server": server.nhs, "interface": server.interface, "nbma": server.nbma_address,
                "state": server.state, "reason": server.reason,
            }
        before = former.get(key)
        self.known[key] = facts
        if before != facts:
            yield "new" if before is None else "changed", facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", help="unix:PATH or ADDRESS:PORT")
    parser.add_argument("--interface", action="append", default=[], help="only of this one; may be given again")
    parser.add_argument("--json", action="store_true", help="an object a line")
    parser.add_argument("--proto", help="the file nhrpd-v1.proto")
    options = parser.parse_args()
    pb, rpc = stubs(options.proto)
    kinds = [pb.SubscribeRequest.BINDINGS, pb.SubscribeRequest.SERVERS]
    registrations = Registrations()
    with channel(options.where) as connection:
        events = rpc.EventsStub(connection).Subscribe(
            pb.SubscribeRequest(kinds=kinds, interfaces=options.interface), wait_for_ready=True)
        try:
            for event in events:
                for happened, facts in registrations.take(event):
                    if options.json:
                        print(json.dumps({"number": event.number, "happened": happened, **facts}), flush=True)
                    else:
                        words = " ".join(f"{name}={value}" for name, value in facts.items() if value != "")
                        print(f"{happened} {words}", flush=True)
        except grpc.RpcError as error:
            sys.exit(f"{options.where}: {error.code().name}: {error.details()}")
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
