# Starts an nhrpd in many ways and writes as JSON what can be seen of it from outside. Arguments: the program, a
# directory for files, and the file to write. Everything runs in path space "try", beside whatever else runs.

import grp
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

NHRPD, SCRATCH, REPORT = sys.argv[1:]
RUN = "/var/run/frr/try"
LIMIT = 20

os.umask(0o077)  # what a daemon is started with must not matter


def wait(what, look):
    deadline = time.monotonic() + LIMIT
    while not look():
        if time.monotonic() > deadline:
            sys.exit("%s: waited %d s for %s" % (NHRPD, LIMIT, what))
        time.sleep(0.02)


def listens(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def mode(path):
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return "none"
    return "%o %d:%d" % (about.st_mode, about.st_uid, about.st_gid)


def once(*arguments):
    done = subprocess.run([NHRPD, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    return {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}


def status(pid):
    wanted = "Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Umask".split()
    with open("/proc/%d/status" % pid) as file:
        fields = dict(line.rstrip("\n").split(":", 1) for line in file)
    seen = {name: fields[name].strip() for name in wanted}
    seen["Groups"] = " ".join(sorted(seen["Groups"].split()))
    seen["ignores SIGPIPE"] = bool(int(fields["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1)
    return seen


def foreground(end, *arguments, vty=RUN, pid=RUN + "/nhrpd.pid", log=None):
    """Runs until it is sent `end`; what it looked like."""
    vty += "/nhrpd.vty"
    shutil.rmtree(RUN, ignore_errors=True)
    out = open(SCRATCH + "/out", "w+")
    process = subprocess.Popen([NHRPD, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    wait("%s of %s" % (vty, arguments), lambda: listens(vty))
    # FRR's listens first, and gives the socket to its group a moment later.
    for _ in range(50):
        if os.stat(vty).st_gid == grp.getgrnam("frrvty").gr_gid:
            break
        time.sleep(0.02)
    # It serves only after its start-up is done, and writes its pid file before.
    seen = {"vty": mode(vty), "pid file": mode(pid), "directory": mode(os.path.dirname(pid))}
    with open(pid) as file:
        seen["pid"] = file.read() == "%d\n" % process.pid
    seen["status"] = status(process.pid)
    seen["second instance"] = once(*arguments)["rc"]
    for number in (signal.SIGUSR1, signal.SIGPIPE):
        process.send_signal(number)
    time.sleep(0.05)
    seen["outlives USR1 and PIPE"] = process.poll() is None and listens(vty)
    process.send_signal(end)
    try:
        code = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        code = "runs on"
    # As a shell says it.
    seen["end"] = 128 - code if isinstance(code, int) and code < 0 else code
    seen["left behind"] = {"vty": os.path.exists(vty), "pid file": os.path.exists(pid)}
    if log:
        seen["log"] = mode(log)
    out.seek(0)
    seen["says"] = out.read()
    if os.path.exists(vty):
        os.unlink(vty)
    return seen


def background(times):
    """Started with -d again and again, and connected to the moment that the command returns."""
    for _ in range(times):
        shutil.rmtree(RUN, ignore_errors=True)
        # Into a file: FRR's daemons go on holding whatever is no terminal.
        with open(SCRATCH + "/out", "w+") as out:
            begun = subprocess.call(
                [NHRPD, "-d", "-N", "try", "-P", "0"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=LIMIT
            )
            heard = listens(RUN + "/nhrpd.vty")
            if begun != 0 or not heard:
                out.seek(0)
                return {"fails": [begun, heard, out.read()]}
        with open(RUN + "/nhrpd.pid") as file:
            pid = int(file.read())
        seen = {"session of its own": os.getsid(pid) == pid, "status": status(pid)}
        os.kill(pid, signal.SIGINT)
        wait("the end of the one in the background", lambda: not os.path.exists("/proc/%d" % pid))
    return seen


def write(name, text):
    path = "%s/%s" % (SCRATCH, name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


os.makedirs(SCRATCH, exist_ok=True)
os.chmod(SCRATCH, 0o755)
good = write("good.conf", "interface gre1\n ip nhrp holdtime 9\n")
bad = write("bad.conf", "interface gre1\n ip nhrp holdtime 9\n ip nhrp bogus\n")

told = {
    " ".join(arguments).replace(SCRATCH, "DIR"): once(*arguments)
    for arguments in (
        ("-v",), ("--version",), ("--vers",),
        ("-h",), ("--help",), ("--he",),
        ("--no-such-option",), ("-X",), ("--vty", "x"), ("-A",), ("--daemon=1",),
        ("-F", "help"), ("-F", "nonsense"), ("-N", "a/b"), ("-P", "telnet"),
        ("--log", "nonsense"), ("--log", "stdout", "--log-level", "loud"),
        ("-C", "-f", good), ("--dry", "--conf", bad),
    )
}

frr = subprocess.run(["id", "-u", "frr"], capture_output=True, text=True).stdout.strip()
os.makedirs(SCRATCH + "/vty", exist_ok=True)
os.chown(SCRATCH + "/vty", int(frr), -1)
os.chmod(SCRATCH + "/vty", 0o755)
log = "/var/log/frr/try.log"
runs = {
    "TERM": foreground(signal.SIGTERM, "-N", "try", "--log", "stdout"),
    "INT": foreground(
        signal.SIGINT,
        "--pathspace", "try", "-F", "datacenter", "-u", "frr", "-g", "frr", "-P", "0", "stray",
    ),
    "HUP": foreground(
        signal.SIGHUP,
        "--paths", "try", "--prof", "traditional", "--vty_p", "0", "-o", "default",
        "--log", "file:" + log, "--log-l", "info",
        log=log,
    ),
    "USR2": foreground(
        signal.SIGUSR2,
        "--path=try", "-A", "localhost", "-P", "2699", "--limit-fds", "512", "--tcli",
        "--log", "file:/nowhere/x.log",
    ),
    "QUIT": foreground(
        signal.SIGQUIT,
        "-Ntry", "-i", RUN + "/made/other.pid", "--vty_socket", SCRATCH + "/vty", "-z", "/run/no.api", "-A", "192.0.2.99",
        vty=SCRATCH + "/vty", pid=RUN + "/made/other.pid",
    ),
}
# Which the release has, its help says.
if "--graceful_restart" in told["--help"]["stdout"]:
    runs["graceful restart"] = foreground(signal.SIGTERM, "-N", "try", "-K5", "-w")
    runs["graceful restart, no time"] = foreground(
        signal.SIGTERM, "-N", "try", "--graceful_restart", "-K", "5", "--vrfw"
    )
with open(REPORT, "w") as file:
    json.dump({"told": told, "runs": runs, "background": background(8)}, file)
