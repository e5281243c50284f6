//! Network namespaces for tests, made by a thread for itself: nothing of them is seen outside, and they vanish with the
//! last socket in them.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

/// One namespace, with its loopback up.
pub struct Namespace {
    file: File,
}

fn own_namespace() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

fn set_namespace(file: &File) -> io::Result<()> {
    // SAFETY: an open descriptor; moves only the calling thread, and touches no memory.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Namespace {
    /// Needs root.
    pub fn new() -> io::Result<Self> {
        let before = own_namespace()?;
        // SAFETY: moves only the calling thread, and touches no memory.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let this = Self { file: own_namespace()? };
        let up = run("ip", "link set lo up");
        set_namespace(&before)?;
        up.map_err(io::Error::other)?;
        Ok(this)
    }

    /// Runs `f` in it. Sockets opened and programs started meanwhile stay in it.
    pub fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        let before = own_namespace().expect("own namespace");
        set_namespace(&self.file).expect("enter the namespace");
        let result = f();
        set_namespace(&before).expect("return to the namespace before");
        result
    }

    /// `ip ARGUMENTS` in it.
    pub fn ip(&self, arguments: &str) -> String {
        self.enter(|| run("ip", arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_ip(&self, arguments: &str) -> Result<String, String> {
        self.enter(|| run("ip", arguments))
    }

    /// For `ip link set X netns PATH`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub fn ifindex(&self, interface: &str) -> u32 {
        let text = self.ip(&format!("-o link show dev {interface}"));
        let number = text.split(':').next().unwrap_or_default();
        number.trim().parse().unwrap_or_else(|_| panic!("no index in {text:?}"))
    }
}

/// Two namespaces joined by `veth0` and `veth1`, 192.0.2.1/24 and 192.0.2.2/24.
pub fn joined_pair() -> io::Result<(Namespace, Namespace)> {
    let (a, b) = (Namespace::new()?, Namespace::new()?);
    a.ip(&format!("link add veth0 type veth peer name veth1 netns {}", b.path()));
    for (namespace, interface, address) in [(&a, "veth0", "192.0.2.1"), (&b, "veth1", "192.0.2.2")] {
        namespace.ip(&format!("addr add {address}/24 dev {interface}"));
        namespace.ip(&format!("link set {interface} mtu 9000 up"));
    }
    Ok((a, b))
}

/// Runs a program, with its arguments separated by spaces; what it printed, or what it complained about.
pub fn run(program: &str, arguments: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Whether namespaces can be made; if not, says loudly that the test named was skipped.
pub fn usable(test: &str) -> bool {
    let reason = match Namespace::new() {
        Ok(_) => return true,
        Err(error) => error,
    };
    eprintln!("SKIPPED {test}: no network namespace: {reason}. Run as root, with iproute2 installed");
    false
}

/// A firewall rule that sends what passes a chain to an NFLOG group, without a threshold of its own.
/// Err if there is no firewall tool that works here.
pub fn nflog_rule(namespace: &Namespace, chain: &str, protocol: &str, group: u16) -> Result<(), String> {
    let rule = format!("-A {chain} -p {protocol} -j NFLOG --nflog-group {group}");
    let mut complaints = Vec::new();
    for program in ["iptables-legacy", "iptables"] {
        match namespace.enter(|| run(program, &rule)) {
            Ok(_) => return Ok(()),
            Err(error) => complaints.push(error),
        }
    }
    // The lab names root file systems that have one.
    let trees = std::env::var("NHRPD_TREES").unwrap_or_default();
    for tree in trees.split(':').filter(|tree| !tree.is_empty()) {
        match namespace.enter(|| run("chroot", &format!("{tree} iptables-nft {rule}"))) {
            Ok(_) => return Ok(()),
            Err(error) => complaints.push(error),
        }
    }
    let chain = chain.to_lowercase();
    let nft = [
        "add table ip t".to_owned(),
        format!("add chain ip t c {{ type filter hook {chain} priority 0 ; }}"),
        format!("add rule ip t c ip protocol {protocol} log group {group}"),
    ];
    match nft.iter().try_for_each(|line| namespace.enter(|| run("nft", line)).map(drop)) {
        Ok(()) => Ok(()),
        Err(error) => {
            complaints.push(error);
            Err(complaints.join("; "))
        }
    }
}

/// An IPv4 packet with an ICMP echo request, `octets` long.
pub fn icmp_packet(source: [u8; 4], destination: [u8; 4], octets: usize) -> Vec<u8> {
    let mut packet = vec![0; octets.max(28)];
    let length = u16::try_from(packet.len()).expect("length");
    packet[..4].copy_from_slice(&[0x45, 0, length.to_be_bytes()[0], length.to_be_bytes()[1]]);
    packet[8] = 64;
    packet[9] = 1;
    packet[12..16].copy_from_slice(&source);
    packet[16..20].copy_from_slice(&destination);
    packet[20] = 8;
    let header = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    let body = checksum(&packet[20..]);
    packet[22..24].copy_from_slice(&body.to_be_bytes());
    packet
}

fn checksum(octets: &[u8]) -> u16 {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}
