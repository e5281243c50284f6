//! Clients of the vty socket, of telnet and of the event socket that mean no good, or no harm but too much, while spokes
//! register without a pause: whoever behaves is answered, nothing holds up the event loop, no registration gets lost,
//! and memory stays within what the clients may cost.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ask::ask;
use super::best::best;
use super::shown::{VTY, log, longest_turn};
use super::{Lab, REGISTER};
use crate::crowd::{Crowd, hub};
use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result, ensure};
use crate::net::{Node, Process, wait_until};

/// Spokes, how many ask in a second whatever the hub does, and how many times all of them: until the end and beyond.
const SPOKES: u32 = 1500;
const RATE: u32 = 200;
const ROUNDS: u32 = 40;

/// What was promised, above the longest turn in the same boot without any such client.
const LONGER_BY: Duration = Duration::from_millis(50);
/// How long that is measured.
const IDLE: Duration = Duration::from_secs(3);

/// How long the program at the event socket does what it does.
const READER: Duration = Duration::from_secs(2);

/// Longest time of all clients together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that ask for much and never read.
const MUTE: u64 = 20 + 8;
/// Memory that the clients may cost besides an answer each, kB: buffers, a line and a request for each.
const GROWTH: u64 = 16 * 1024;

/// Lines that have an error each.
const ERRORS: usize = 1000;

const EVENTS: &str = "/run/frr/events";

/// 200 clients of the vty socket at once. Prints what those got who should get something.
const CLIENTS: &str = r"
import os, socket, time
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect('/run/frr/nhrpd.vty')  # waits while the daemon's queue of new connections is full
    s.settimeout(30)
    return s
def answer(s):
    got = b''
    while len(got) < 4 or got[-4:-1] != bytes(3):
        part = s.recv(65536)
        if not part:
            raise SystemExit('hung up after %r' % got[-80:])
        got += part
    return got[-1], got[:-4]
patient = [connect() for _ in range(160)]
mute, long, garbage, half = ([connect() for _ in range(n)] for n in (20, 8, 6, 6))
for s in mute:
    s.settimeout(0)
    try:
        s.send(b'enable\0')
        for _ in range(1000):
            s.send(b'show ip nhrp cache json\0show running-config\0show ip nhrp opennhrp json\0')
    except BlockingIOError:
        pass
for s in half:
    s.sendall(b'enable\0configure terminal\0XFRR_start_configuration\0interface gr')
    s.close()
for s in garbage:
    try:
        s.sendall(os.urandom(65536) + b'\0')
        s.sendall(b'\0' * 65536)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass  # it does not read its answers
refused = 0
for s in long:
    s.sendall(b'x' * (1 << 20) + b'\0')
    code, text = answer(s)
    s.sendall(b'enable\0')
    refused += code == 2 and b'too long' in text and answer(s) == (0, b'')
answered = 0
for line in ('enable', 'show ip nhrp nhs', 'show memory', 'show nothing', 'echo PING'):
    for s in patient:
        s.sendall(line.encode() + b'\0')
    for s in patient:
        code, text = answer(s)
        answered += code == (2 if line == 'show nothing' else 1 if line.endswith('nhs') else 0)
print('answered %d of %d, refused %d of 8' % (answered, 5 * len(patient), refused))
";

/// As many clients of telnet as are served, and more. Prints what the one got that behaves and comes last.
const TELNET: &str = r"
import os, socket, time
def connect():
    s = socket.create_connection(('127.0.0.1', 2610), 60)
    until(s, b'Password: ')
    return s
def until(s, end):
    text = b''
    while not text.endswith(end):
        got = s.recv(65536)
        if not got:
            raise SystemExit('hung up after %r' % text[-80:])
        text += got
    return text
def login(s):
    s.sendall(b'zebra\r\n')
    until(s, b'hub> ')
long, garbage, mute, keys = ([connect() for _ in range(n)] for n in (6, 6, 8, 6))
waiting = []
for _ in range(170):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(('127.0.0.1', 2610))
    waiting.append(s)
for s in mute + keys:
    login(s)
for clients, octets in ((mute, b'show ip nhrp cache json\r\n'), (keys, b'\t' * 40 + b'?' * 40 + b'sh\t'), (garbage, None)):
    for s in clients:
        s.setblocking(False)
        try:
            for _ in range(2000):
                s.send(octets or os.urandom(4096))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass
for s in long:
    s.sendall(b'x' * (1 << 20))
    s.sendall(b'\r\n')
    until(s, b'Password: ')
time.sleep(1)
for s in long + garbage + mute + keys + waiting:
    s.close()
s = connect()
login(s)
s.sendall(b'show ip nhrp nhs\r\n')
print('answered' if b'No entries' in until(s, b'hub> ') else 'no answer')
";

/// Begins to read a file and never goes on, like a vtysh that was stopped.
const STOPPED: &str = r"
import socket, time
s = socket.socket(socket.AF_UNIX)
s.connect('/run/frr/nhrpd.vty')
s.sendall(b'enable\0configure terminal\0XFRR_start_configuration\0interface gre1\0')
time.sleep(1000)
";

/// The program at the event socket, which never reads, and says nothing or nonsense.
const PROGRAM: &str = r"
import os, socket, sys, time
path = sys.argv[2]
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o666)
listener.listen()
while True:
    s, _ = listener.accept()
    try:
        while sys.argv[1] == 'nonsense':
            s.sendall(os.urandom(32768) + b'\neventid=1\nresult=accept\n\n' * 100)
    except OSError:
        continue
    time.sleep(1000)
";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let shape = Shape { spokes: 0, holdtime: 600, redirect: false, ..Shape::default() };
    let mut dmvpn = lab.dmvpn(shape)?;
    dmvpn.finish(&[])?; // Registrations by the thousand are not worth capturing.
    let node = dmvpn.node("hub")?.clone();
    dmvpn.frr("hub")?.vtysh(&["configure terminal", "no debug nhrp common", "password zebra"])?;
    let options = [
        format!("--rate={RATE}"),
        format!("--rounds={ROUNDS}"),
        "--window=0".to_owned(),
        "--timeout=10000".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut crowd = Crowd::start(&mut dmvpn, SPOKES, &options)?;
    // New ones, which cost the most, and nothing else.
    let idle = longest(&node, || {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let before = peak(&node)?;

    // With it, what others configure takes effect all the same.
    let _stopped = start(&node, "stopped", STOPPED, &[])?;
    let limit = Some(idle + LONGER_BY);
    let during = |what: &str| format!("{what}, without any {:.1} ms", idle.as_secs_f64() * 1e3);
    let events =
        best(limit, |_| event_socket(&mut dmvpn)).context(|| during("with programs at the event socket"))?;
    crowd.wait_complete(1, REGISTER)?;
    let answer = ask(&node, VTY, "show ip nhrp cache json")?.1.len();
    let clients =
        best(limit, |_| longest(&node, || attack(&node))).context(|| during("with all clients at once"))?;
    let file = best(limit, |_| longest(&node, || file_of_errors(&mut dmvpn)))
        .context(|| during("with files that are full of errors"))?;

    let (after, answer) = (peak(&node)?, u64::try_from(answer / 1024).unwrap_or(u64::MAX));
    // An answer as text is there beside its octets for a moment.
    let bound = GROWTH + (MUTE + 4) * answer;
    ensure!(
        after - before < bound,
        "the hub's nhrpd has grown from {before} kB to {after} kB, expected is less than {bound} kB more"
    );
    // Everybody, also those whose questions nobody answered, in a round that began after that.
    let rounds = crowd.none_lost(2, REGISTER)?;
    let registered = hub::registered(&mut dmvpn)?;
    ensure!(
        registered == usize::try_from(SPOKES).unwrap_or_default(),
        "{registered} of {SPOKES} are registered"
    );
    let ms = |took: Duration| format!("{:.1}", took.as_secs_f64() * 1e3);
    lab.note(format!(
        "longest turn {} ms idle, {} with the event socket, {} with all clients, {} with the file; {before} kB, at most \
         {after} kB; {} rounds of {SPOKES} registrations",
        ms(idle),
        ms(events),
        ms(clients),
        ms(file),
        rounds
    ));
    dmvpn.all_alive()
}

fn longest(hub: &Node, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    Ok(longest_turn(hub, work)?.0)
}

/// The most memory that it ever had, kB.
fn peak(hub: &Node) -> Result<u64> {
    let text = hub.sh("grep VmHWM /proc/$(cat /run/frr/nhrpd.pid)/status")?;
    let number = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    number.context(|| format!("VmHWM: {text}"))
}

/// What is to be served last: the promise is about the daemon's time, not about a processor that others have.
fn start(hub: &Node, name: &str, script: &str, words: &[&str]) -> Result<Process> {
    let path = format!("/run/{name}.py");
    hub.write_file(&path, script)?;
    hub.spawn(name, &[&["nice", "-n", "19", "python3", "-u", &path], words].concat())
}

/// A program that never reads what it is asked, and then one that sends nonsense instead of answers: the longest turn.
fn event_socket(dmvpn: &mut Dmvpn) -> Result<Duration> {
    let hub = dmvpn.node("hub")?.clone();
    // Who is registered is not asked about. What an operator has forgotten at once is no hostile reader's doing.
    ask(&hub, VTY, "clear ip nhrp cache")?;
    longest(&hub, || readers(dmvpn, &hub))
}

fn readers(dmvpn: &mut Dmvpn, hub: &Node) -> Result<()> {
    for conduct in ["silence", "nonsense"] {
        let mut program = start(hub, conduct, PROGRAM, &[conduct, EVENTS])?;
        wait_until("the program to listen", REGISTER, || match hub.exists(EVENTS) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?} {}", program.output())),
        })?;
        dmvpn.frr("hub")?.vtysh(&["configure terminal", &format!("nhrp event socket {EVENTS}")])?;
        wait_until("the hub at the event socket", REGISTER, || {
            match hub.sh(&format!("ss -xH state established src {EVENTS}")) {
                Ok(seen) if !seen.trim().is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        std::thread::sleep(READER);
        dmvpn.frr("hub")?.vtysh(&["configure terminal", "no nhrp event socket"])?;
        program.stop(Signal::SIGKILL, REGISTER)?;
        hub.sh(&format!("rm -f {EVENTS}"))?;
    }
    Ok(())
}

/// All clients of both kinds at once.
fn attack(hub: &Node) -> Result<()> {
    let mut clients = [start(hub, "clients", CLIENTS, &[])?, start(hub, "telnet", TELNET, &[])?];
    let began = Instant::now();
    while clients.iter_mut().any(|client| client.ended().is_none()) {
        let said = clients.each_ref().map(Process::output);
        ensure!(began.elapsed() < PATIENCE, "the clients are not done: {said:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let [vty, telnet] = clients.each_ref().map(Process::output);
    ensure!(
        vty.ends_with("answered 800 of 800, refused 8 of 8\n"),
        "what clients of the vty socket got: {vty}"
    );
    ensure!(telnet.ends_with("answered\n"), "what clients of telnet got: {telnet}");
    Ok(())
}

/// A file with an error in every line but the first, through vtysh and as `-f` of another instance: each is named.
fn file_of_errors(dmvpn: &mut Dmvpn) -> Result<()> {
    let hub = dmvpn.node("hub")?.clone();
    let lines = (0..ERRORS).map(|n| format!(" no ip nhrp map 10.9.{}.{}\n", n / 250, n % 250));
    hub.write_file("/run/errors", &format!("interface gre1\n{}", lines.collect::<String>()))?;
    let said = hub.run(&["vtysh", "-d", "nhrpd", "-f", "/run/errors"])?;
    let text = format!("{}{}", said.stdout, said.stderr);
    let named = text.lines().filter(|line| line.contains("line ") && line.contains("10.9.")).count();
    ensure!(
        said.status == 13 && named == ERRORS,
        "vtysh -f ended with {} and named {named}: {text}",
        said.status
    );

    let command = ["/lab/bin/nhrpd", "-N", "errors", "-P", "0", "-f", "/run/errors", "--log", "stdout"];
    let mut other = hub.spawn("errors", &command)?;
    wait_until("the instance with the bad file", REGISTER, || {
        match hub.listens("/run/frr/errors/nhrpd.vty") {
            Ok(true) => Ok(()),
            _ => Err(other.output()),
        }
    })?;
    let (code, _) = ask(&hub, "/run/frr/errors/nhrpd.vty", "echo done")?;
    let named = other.output().lines().filter(|line| line.contains("config line")).count();
    ensure!(code == 0 && named >= ERRORS, "it answers with {code}, and {named} of {ERRORS} lines were named");
    other.stop(Signal::SIGTERM, Duration::from_secs(5))?;
    ensure!(!log(&hub)?.contains("panicked"), "it has panicked: {}", log(&hub)?);
    Ok(())
}
