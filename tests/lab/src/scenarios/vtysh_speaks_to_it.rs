//! The release's own vtysh gets the same answers, texts and codes from this daemon as from FRR's nhrpd.
//!
//! The same network lives twice, once with FRR's daemons and once with ours. In both the same lines go
//! through vtysh, and everything that vtysh prints is compared. What may differ is written in [`masked`].

use std::time::Duration;

use serde_json::Value;

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result, ensure};
use crate::mix::{Kind, Mix};

/// FRR shows a new binding as under authorisation for 10 s, whoever might be asked.
const AUTHORISED: Duration = Duration::from_secs(12);

/// Asked of a hub and a spoke, each also with ` json`.
const TABLES: &[&str] = &[
    "show ip nhrp",
    "show ip nhrp cache",
    "show ip nhrp nhs",
    "show ip nhrp shortcut",
    "show ip nhrp opennhrp",
    "show ipv6 nhrp",
    "show ipv6 nhrp nhs",
    "show ipv6 nhrp shortcut",
    "show dmvpn",
];

/// Lines for `vtysh -f`, which goes on after a bad one and names it with its code.
const SETTINGS: &str = "\
nhrp nflog-group 5
nhrp multicast-nflog-group 6
nhrp event socket /run/nhrp-events
debug nhrp kernel
interface gre1
 ip nhrp holdtime 77
 ip nhrp holdtime 0
 ip nhrp holdtime 65001
 ip nhrp holdtime
 ip nhrp map 10.255.255.77 192.0.2.77
 ip nhrp map 10.255.255.77 192.0.2.77
 ip nhrp map 10.255.255.78 local
 ip nhrp map multicast 192.0.2.79
 ip nhrp map multicast dynamic
 ip nhrp mtu 1360
 ip nhrp mtu 100000
 ip nhrp network-id 5
 ip nhrp nhs 10.255.255.200 nbma 192.0.2.200
 ip nhrp redirect
 ip nhrp registration no-unique
 ip nhrp shortcut
 ip nhrp bogus
 ip nhrp
 ipv6 nhrp network-id 3
 ipv6 nhrp holdtime 88
 ipv6 nhrp map 2001:db8::7 192.0.2.77
 ipv6 nhrp shortcut
exit
interface gre9
 ip nhrp network-id 9
 ip nhrp holdtime 99
 tunnel source eth0
 tunnel protection vici profile one fallback-profile two
exit
";

const REMOVALS: &str = "\
no nhrp multicast-nflog-group
no nhrp event socket
no debug nhrp kernel
interface gre1
 no ip nhrp holdtime
 no ip nhrp map 10.255.255.78
 no ip nhrp map 10.255.255.99
 no ip nhrp map multicast 192.0.2.79
 no ip nhrp map multicast 192.0.2.80
 no ip nhrp mtu
 no ip nhrp nhs 10.255.255.200 nbma 192.0.2.200
 no ip nhrp nhs 10.255.255.200 nbma 192.0.2.200
 no ip nhrp redirect
 no ip nhrp registration no-unique
 no ip nhrp shortcut
 no ip nhrp bogus
 no ipv6 nhrp holdtime
 no ipv6 nhrp map 2001:db8::7
 no ipv6 nhrp shortcut
 no ipv6 nhrp network-id
exit
interface gre9
 no tunnel protection
 no tunnel source
exit
no interface gre9
no nhrp nflog-group
";

/// Types the lines of its standard input, keys as Python escapes, into the telnet vty, and prints what comes back.
const TELNET: &str = r"
import codecs, socket, sys, time
def connect():
    s = socket.create_connection(('127.0.0.1', 2610)); s.settimeout(20); return s
def until(s, ends):
    text = b''
    while not text.endswith(ends):
        got = s.recv(65536)
        if not got:
            return text + b'<end>'
        text += got
    return text
s = connect()
until(s, (b'Password: ',))
for line in sys.stdin.read().splitlines():
    s.sendall(codecs.decode(line, 'unicode_escape').encode('latin-1') + b'\r\n')
    print(repr(until(s, (b'Password: ', b'> ', b'# '))))
";

/// Keys for [`TELNET`]: passwords, prompts, editing, Tab, answers, and the way out.
const KEYS: &str = r"
wrong
zebra
sh ip nhrp nh\t
show bogus
enable
wrong
secret
xshow\x01\x04\x05w ip\x17debugging
conf t
interface gre1
ip nhrp
tunnel \t\x15
ip nhrp holdtime x\x7f77
\x10\x10\x0e
do sh\tdebugging
line vty
exec-timeout 5 7
end
show running-config
\x1b[A\x1b[D\x1b[D\x03
exit
";

/// Watches the log by `terminal monitor` of an interactive vtysh, has messages logged by another session, and prints
/// them as vtysh showed them, from their first word on: what FRR puts in front is its own.
const MONITOR: &str = r"
import os, pty, re, select, socket, sys
def log(*lines):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/run/frr/nhrpd.vty')
    for line in ('enable',) + lines:
        s.sendall(line.encode() + b'\0')
        answer = b''
        while answer[-4:-1] != b'\0\0\0':
            answer += s.recv(4096)
pid, terminal = pty.fork()
if pid == 0:
    os.environ['TERM'] = 'dumb'
    os.execvp('vtysh', ['vtysh'])
raw, shown = b'', ''
def until(pattern):
    global raw, shown
    while not re.search(pattern, shown):
        if not select.select([terminal], [], [], 20)[0]:
            sys.exit('no %r in %r' % (pattern, shown))
        raw += os.read(terminal, 65536)
        shown = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', raw.decode('utf-8', 'replace'))
def run(line, mark):
    # A command that there is not, so that its refusal tells that the one before has ended.
    os.write(terminal, (line + '\n' + mark + '\n').encode())
    until('Unknown command: ' + mark)
run('terminal monitor nhrpd', 'begun')
log('logmsg errors live one', 'logmsg warnings live two ' + 'x' * 300, 'logmsg debugging live three')
until(r'live three\r?\n')
run('no terminal monitor nhrpd', 'ended')
log('logmsg errors live four')
run('show debugging nhrp', 'over')
os.write(terminal, b'exit\n')
for text in re.findall(r'nhrpd: [^\r\n]*?(live [^\r\n]*)', shown):
    print(text)
";

/// What was done, and what vtysh or a script printed.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    what: String,
    printed: String,
}

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let theirs = transcript(lab, Kind::Frr)?;
    let ours = transcript(lab, Kind::Ours)?;
    ensure!(theirs.len() == ours.len(), "{} and {} steps", theirs.len(), ours.len());
    let mut differences = Vec::new();
    for (theirs, ours) in theirs.iter().zip(&ours) {
        if theirs != ours {
            differences.push(format!(
                "{}\n--- FRR's nhrpd\n{}\n+++ this one\n{}",
                theirs.what, theirs.printed, ours.printed
            ));
        }
    }
    lab.note(format!("{} outputs compared", ours.len()));
    ensure!(differences.is_empty(), "{} outputs differ:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

fn transcript(lab: &Lab, kind: Kind) -> Result<Vec<Step>> {
    let out = lab.out().join(kind.to_string());
    let mut dmvpn = Dmvpn::start(&out, lab.release, &Mix::all(kind), Shape::default())?;
    dmvpn.wait_registered(REGISTER)?;
    std::thread::sleep(AUTHORISED);
    let mut steps = Vec::new();
    for node in ["hub", "s1"] {
        tables(&dmvpn, node, &mut steps)?;
        for command in ["sh ip nhrp ca", "show running-config", "show debugging nhrp", "show ip nhrp bogus"] {
            steps.push(step(&dmvpn, node, &["vtysh", "-c", command])?);
        }
    }
    // FRR drops a shortcut that is not used after some seconds: it is looked at once and cleared.
    dmvpn.ping("s1", "s2", 3, Duration::from_millis(300))?;
    dmvpn.wait_shortcut("s1", "s2", RESOLVE)?;
    for command in ["show ip nhrp shortcut", "show ip nhrp shortcut json"] {
        steps.push(step(&dmvpn, "s1", &["vtysh", "-c", command])?);
    }
    for command in ["clear ip nhrp shortcut", "clear ip nhrp shortcut", "show ip nhrp shortcut"] {
        steps.push(step(&dmvpn, "s1", &["vtysh", "-c", command])?);
    }
    steps.push(step(
        &dmvpn,
        "s1",
        &["vtysh", "-c", "conf t", "-c", "int gre1", "-c", "ip nhrp net 5", "-c", "do sh run"],
    )?);
    steps.push(step(
        &dmvpn,
        "s1",
        &["vtysh", "-c", "conf t", "-c", "int gre1", "-c", "no ip nhrp map 10.9.9.9", "-c", "end"],
    )?);
    reload(&dmvpn, &mut steps)?;

    let node = dmvpn.node("s2")?;
    for lines in [SETTINGS, REMOVALS] {
        node.write_file("/run/lines", lines)?;
        steps.push(step(&dmvpn, "s2", &["vtysh", "-d", "nhrpd", "-f", "/run/lines"])?);
        if lines == SETTINGS {
            // Typed by hand: in a file what is there already is taken again, unlike in FRR.
            let again = "ip nhrp nhs 10.255.255.200 nbma 192.0.2.200";
            steps.push(step(
                &dmvpn,
                "s2",
                &["vtysh", "-d", "nhrpd", "-c", "conf t", "-c", "int gre1", "-c", again],
            )?);
        }
        for command in ["show running-config", "show running-config nhrpd", "show debugging nhrp"] {
            steps.push(step(&dmvpn, "s2", &["vtysh", "-c", command])?);
        }
    }
    for topic in ["all", "common", "event", "interface", "route", "vici"] {
        steps.push(step(
            &dmvpn,
            "s2",
            &["vtysh", "-c", &format!("debug nhrp {topic}"), "-c", "show debugging nhrp"],
        )?);
    }
    steps.push(step(&dmvpn, "s2", &["vtysh", "-c", "no debug nhrp all", "-c", "show debugging nhrp"])?);
    for line in ["password zebra", "enable password secret"] {
        steps.push(step(&dmvpn, "s2", &["vtysh", "-d", "nhrpd", "-c", "conf t", "-c", line])?);
    }
    node.write_file("/run/telnet.py", TELNET)?;
    node.write_file("/run/keys", KEYS.trim_start())?;
    steps.push(step(&dmvpn, "s2", &["sh", "-c", "python3 /run/telnet.py < /run/keys"])?);
    if kind == Kind::Ours {
        not_in_frr(&dmvpn)?;
    }
    node.write_file("/run/monitor.py", MONITOR)?;
    let monitored = step(&dmvpn, "s2", &["python3", "/run/monitor.py"])?;
    ensure!(
        ["live one\n", "live two x", "live three\n"].iter().all(|text| monitored.printed.contains(text)),
        "terminal monitor of {kind} showed {}",
        monitored.printed
    );
    steps.push(monitored);
    dmvpn.all_alive()?;
    Ok(steps)
}

/// What vtysh does not pass on: asked at the vty socket, as nhrpctl does.
fn not_in_frr(dmvpn: &Dmvpn) -> Result<()> {
    const ASK: &str = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(20); \
        s.connect('/run/frr/nhrpd.vty'); s.sendall(sys.argv[1].encode() + bytes(1)); text = b''\nwhile text[-4:-1] != bytes(3):\n \
        text += s.recv(65536)\nprint(text[:-4].decode())";
    for (node, table, key, wanted) in
        [("s1", "nhs", "state", "registered"), ("hub", "cache", "origin", "registered")]
    {
        let command = format!("show ip nhrp {table} detail json");
        let printed = dmvpn.node(node)?.run(&["python3", "-c", ASK, &command])?.stdout;
        let document: Value = serde_json::from_str(&printed).context(|| format!("{command}: {printed}"))?;
        let rows = document.get("table").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let found = rows.iter().any(|row| row.get(key).and_then(Value::as_str) == Some(wanted));
        ensure!(found, "{command} on {node}: {printed}");
        let refused = dmvpn.node(node)?.run(&["vtysh", "-c", &command])?;
        ensure!(refused.status != 0, "vtysh knows {command}");
    }
    Ok(())
}

/// All tables as text and as JSON, by one vtysh: starting it takes longer than what it asks for.
fn tables(dmvpn: &Dmvpn, node: &str, steps: &mut Vec<Step>) -> Result<()> {
    let json = TABLES.iter().map(|command| format!("{command} json"));
    let commands: Vec<String> = TABLES.iter().map(|&command| command.to_owned()).chain(json).collect();
    // -E prints each command behind a prompt.
    let line: Vec<&str> =
        ["vtysh", "-E"].into_iter().chain(commands.iter().flat_map(|c| ["-c", c.as_str()])).collect();
    let output = dmvpn.node(node)?.run(&line)?;
    let mut rest = output.stdout.as_str();
    for (index, command) in commands.iter().enumerate() {
        let begin = format!("{node}# {command}\n");
        rest = rest.strip_prefix(&begin).context(|| format!("no {begin:?} where {rest:?} begins"))?;
        let next = commands.get(index + 1).map(|next| format!("{node}# {next}\n"));
        let end = next.and_then(|next| rest.find(&next)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        steps.push(Step { what: format!("{node}: {command}"), printed: masked(command, text) });
        rest = after;
    }
    steps.push(Step {
        what: format!("{node}: how vtysh ends"),
        printed: format!("{}[{}]", output.stderr, output.status),
    });
    Ok(())
}

/// From one configuration to another with `frr-reload.py`.
fn reload(dmvpn: &Dmvpn, steps: &mut Vec<Step>) -> Result<()> {
    let node = dmvpn.node("hub")?;
    let running = node.sh("vtysh -c 'show running-config'")?;
    let from = running.find("frr version").context(|| format!("no configuration: {running}"))?;
    let wanted = running
        .get(from..)
        .unwrap_or_default()
        .replace(" ip nhrp holdtime 30\n", " ip nhrp holdtime 40\n ip nhrp mtu 1340\n");
    let wanted =
        wanted.replace("nhrp nflog-group 1\n", "nhrp nflog-group 2\n").replace(" ip nhrp redirect\n", "");
    node.write_file("/etc/frr/new.conf", &wanted)?;
    for verb in ["--test", "--reload", "--test"] {
        // Its own log has times in it.
        let done = node.run(&["/usr/lib/frr/frr-reload.py", verb, "--stdout", "/etc/frr/new.conf"])?;
        steps.push(Step { what: format!("frr-reload.py {verb}"), printed: format!("[{}]", done.status) });
        steps.push(step(dmvpn, "hub", &["vtysh", "-c", "show running-config"])?);
    }
    let after = steps.last().map(|step| step.printed.as_str()).unwrap_or_default();
    ensure!(
        after.contains(" ip nhrp mtu 1340\n")
            && after.contains("nhrp nflog-group 2\n")
            && !after.contains("redirect"),
        "frr-reload.py left {after}"
    );
    Ok(())
}

fn step(dmvpn: &Dmvpn, node: &str, command: &[&str]) -> Result<Step> {
    let output = dmvpn.node(node)?.run(command)?;
    let printed = masked(&command.join(" "), &format!("{}{}", output.stdout, output.stderr));
    Ok(Step {
        what: format!("{node}: {}", command.join(" ")),
        printed: format!("{printed}[{}]", output.status),
    })
}

/// What may differ:
/// - the order of rows that come from a hash table (all tables);
/// - the heading that FRR up to 10.0 prints before the JSON of shortcuts, which makes it no JSON;
/// - whether the kernel has asked for an entry lately (`used`, the flag `U`).
fn masked(command: &str, text: &str) -> String {
    let table = TABLES.iter().any(|table| command.contains(table)) || command.contains("sh ip nhrp");
    if !table {
        return text.to_owned();
    }
    if command.ends_with("json")
        && let Some(start) = text.find('{')
        && let Some(document) = text.get(start..)
        && let Ok(mut document) = serde_json::from_str::<Value>(document)
    {
        if let Some(rows) = document.get_mut("table").and_then(Value::as_array_mut) {
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                row.entry("used").and_modify(|used| *used = Value::Null);
            }
            rows.sort_by_key(ToString::to_string);
        }
        return format!("{document:#}\n");
    }
    let mut lines: Vec<String> =
        text.lines().map(|line| line.replace("UT", " T").trim_end().to_owned()).collect();
    lines.sort();
    lines.join("\n") + "\n"
}
