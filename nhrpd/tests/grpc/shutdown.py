"""The daemon ends while clients follow, get, type and commit: each call ends with a word about it or with its answer, none
with a connection that broke, and a commit has happened as a whole or not at all.

    python3 shutdown.py NHRPD PROTO

starts NHRPD in a folder of its own, as client.py does. Exits 0 if every check held.
"""

import json
import os
import sys
import tempfile
import threading
import time

import grpc

from client import make_stubs, start

# Each with a connection of its own.
OPTIONS = [("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
WORDS = "the daemon is shutting down"
MAPS, GETTERS, FOLLOWERS = 3000, 12, 4


def document(second):
    """An interface with so many mappings that a commit takes its time; all of them change from one to the other."""
    maps = [{"protocol-address": f"10.9.{n // 250}.{n % 250 + 1}", "nbma": f"192.0.2.{second}"} for n in range(MAPS)]
    nhrp = {"ipv4": {"network-id": 1, "map": maps}}
    return json.dumps({"frr-interface:lib": {"interface": [{"name": "gre1", "frr-nhrpd:nhrp": nhrp}]}})


class Calls:
    """What became of each call: how it ended, and whether it was begun before the signal. A call may be several requests:
    then whether the last was."""

    def __init__(self, where):
        self.where, self.ends, self.begun, self.signalled = where, [], [], False
        self.lock, self.threads, self.request = threading.Lock(), [], threading.local()

    def begin(self):
        """A request follows."""
        self.request.early = not self.signalled

    def start(self, kind, make):
        """Makes calls of a kind, one after the other, over a connection of its own until it is told the end."""
        def work():
            with grpc.insecure_channel(self.where, options=OPTIONS) as channel:
                call = make(channel)
                while True:
                    self.begin()
                    try:
                        with self.lock:
                            self.begun.append(kind)
                        result = call()
                        self.end(kind, self.request.early, grpc.StatusCode.OK, "", result)
                    except grpc.RpcError as error:
                        self.end(kind, self.request.early, error.code(), error.details(), None)
                        return

        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()

    def end(self, *what):
        with self.lock:
            self.ends.append(what)


def wait_begun(calls, kinds):
    end = time.monotonic() + 60
    while not all(sum(kind == k for k, *_ in calls.ends) >= least for kind, least in kinds.items()):
        assert time.monotonic() < end, calls.ends
        time.sleep(0.02)


def try_once(nhrpd, folder, pbs, after):
    frr, frr_rpc, pb, rpc = pbs
    socket = os.path.join(folder, "grpc")
    log = os.path.join(folder, f"log-{after}")
    daemon = start(nhrpd, folder, "--grpc-listen", "unix:" + socket, "--log", "file:" + log)
    try:
        calls = Calls("unix:" + socket)
        snapshots = threading.Semaphore(0)

        def commits(channel):
            stub, turn = frr_rpc.NorthboundStub(channel), [0]

            def commit():
                turn[0] += 1
                candidate = stub.CreateCandidate(frr.CreateCandidateRequest()).candidate_id
                calls.begin()
                stub.LoadToCandidate(frr.LoadToCandidateRequest(
                    candidate_id=candidate, type=frr.LoadToCandidateRequest.REPLACE,
                    config=frr.DataTree(encoding=frr.JSON, data=document(1 + turn[0] % 2))))
                calls.begin()
                done = stub.Commit(frr.CommitRequest(candidate_id=candidate, phase=frr.CommitRequest.ALL))
                calls.begin()
                stub.DeleteCandidate(frr.DeleteCandidateRequest(candidate_id=candidate))
                return done.transaction_id

            return commit

        def gets(channel):
            stub = frr_rpc.NorthboundStub(channel)
            request = frr.GetRequest(type=frr.GetRequest.ALL, path=["/"] * 3)
            return lambda: len(list(stub.Get(request)))

        def follow(channel):
            stub = rpc.EventsStub(channel)

            def events():
                for event in stub.Subscribe(pb.SubscribeRequest()):
                    if event.WhichOneof("what") == "snapshot" and event.snapshot.last:
                        snapshots.release()

            return events

        def lines(channel):
            stub = rpc.ExecStub(channel)
            return lambda: len(list(stub.Run(pb.ExecRequest(lines=["show running-config"] * 20))))

        calls.start("commit", commits)
        for _ in range(FOLLOWERS):
            calls.start("follow", follow)
        for _ in range(GETTERS):
            calls.start("get", gets)
        calls.start("lines", lines)
        for _ in range(FOLLOWERS):
            assert snapshots.acquire(timeout=30)
        wait_begun(calls, {"commit": 2, "get": 1, "lines": 1})
        time.sleep(after)
        calls.signalled = True
        daemon.terminate()
        began = time.monotonic()
        assert daemon.wait(10) == 0, daemon.returncode
        took = time.monotonic() - began
        for thread in calls.threads:
            thread.join(20)
            assert not thread.is_alive()
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()

    # A new call of a client that was not told yet may find nobody; one that was under way is told.
    for kind, early, code, text, _ in calls.ends:
        told = code == grpc.StatusCode.UNAVAILABLE and text == WORDS
        assert code == grpc.StatusCode.OK or told or not early, (kind, code, text)
    told = [kind for kind, early, code, *_ in calls.ends if early and code != grpc.StatusCode.OK]
    assert told.count("follow") == FOLLOWERS, calls.ends
    # What was answered has happened, and nothing else.
    done = [result for kind, _, code, _, result in calls.ends if kind == "commit" and code == grpc.StatusCode.OK]
    with open(log, encoding="utf-8") as file:
        text = file.read()
    logged = text.count("has been committed by")
    assert done == list(range(1, len(done) + 1)) and len(done) <= logged <= len(done) + 1, (done, logged)
    assert "still being answered" not in text and "panicked" not in text, text
    assert took < 4, took
    return took, len(told)


def main():
    nhrpd, proto = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        make_stubs(os.path.join(os.path.dirname(proto), "frr-northbound.proto"), folder)
        import frr_northbound_pb2 as frr
        import frr_northbound_pb2_grpc as frr_rpc
        import nhrpd_v1_pb2 as pb
        import nhrpd_v1_pb2_grpc as rpc

        # At different moments of a commit.
        for after in (0, 0.05, 0.1, 0.2, 0.3):
            took, told = try_once(nhrpd, folder, (frr, frr_rpc, pb, rpc), after)
            print(f"ended {took:.2f} s after the signal; {told} calls were told")
    print("every check held")


main()
