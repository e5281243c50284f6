//! tshark as a judge that shares no code with this project.
//!
//! Packets go to it in a capture file (GRE in IPv4) on its standard input, so that it may run in another root file
//! system: `NHRP_TSHARK` holds the command (split at blanks, for example `chroot /tree tshark`) if it is not plain
//! `tshark`. Its PDML names each field with its octets; the expectation is made from the typed packet.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use nhrp_wire::{Cie, ExtensionBody, Family, Message, Packet};

/// A field as tshark names it, and its octets in hexadecimal (of an extension's type and compulsory bit: the value).
pub(crate) type Field = (String, String);

/// What tshark says of one packet.
#[derive(Default)]
pub(crate) struct Verdict {
    /// NHRP's fields in their order, without those of a packet inside the packet.
    pub(crate) fields: Vec<Field>,
    /// `nhrp.hdr.chksum.status`; 1 is good.
    pub(crate) checksum_status: String,
    /// Octet of the first extension, counted from the start of the NHRP packet.
    pub(crate) first_extension: Option<usize>,
    /// Complaints: malformed packets and expert information of severity error or about NHRP.
    pub(crate) complaints: Vec<String>,
}

/// The command, or `None` (after saying so) where there is no tshark and this is not CI.
///
/// # Panics
/// In CI, and where `NHRP_TSHARK` is set, tshark must be there.
pub(crate) fn command() -> Option<Vec<String>> {
    let configured = std::env::var("NHRP_TSHARK").ok().filter(|x| !x.trim().is_empty());
    let words: Vec<String> =
        configured.as_deref().unwrap_or("tshark").split_whitespace().map(str::to_owned).collect();
    let probe = Command::new(&words[0]).args(&words[1..]).arg("--version").output();
    match probe {
        Ok(output) if output.status.success() => Some(words),
        _ if configured.is_some() => panic!("NHRP_TSHARK={words:?} does not run: {probe:?}"),
        _ if std::env::var("CI").is_ok_and(|x| x == "true") => {
            panic!("tshark is not on the PATH; in CI it must be (apt install tshark, or set NHRP_TSHARK)")
        }
        _ => {
            eprintln!("\n*** SKIPPED: no tshark on the PATH, so no independent judge of the packets. ***");
            eprintln!("*** apt install tshark, or set NHRP_TSHARK to a command that runs it. ***\n");
            None
        }
    }
}

/// Asks tshark about packets, each given from its NHRP header on.
pub(crate) fn judge(command: &[String], packets: &[Vec<u8>]) -> Vec<Verdict> {
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .args(["-n", "-r", "-", "-T", "pdml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("tshark starts");
    let mut stdin = child.stdin.take().unwrap();
    let capture = capture(packets);
    let writer = std::thread::spawn(move || stdin.write_all(&capture));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "tshark failed: {}", output.status);
    let verdicts = read_pdml(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(verdicts.len(), packets.len(), "tshark saw another number of packets");
    verdicts
}

/// A capture file of raw IPv4 packets, each GRE (RFC 2784) with protocol type 0x2001.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65535, 101] {
        file.extend(word.to_le_bytes());
    }
    for packet in packets {
        let length = u16::try_from(24 + packet.len()).unwrap();
        for word in [0, 0, u32::from(length), u32::from(length)] {
            file.extend(word.to_le_bytes());
        }
        let [high, low] = length.to_be_bytes();
        file.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, 47, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        file.extend([0, 0, 0x20, 0x01]);
        file.extend(packet);
    }
    file
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!(" {name}=\""))? + name.len() + 3;
    line[start..].split('"').next()
}

/// Wireshark's `PI_ERROR`.
const SEVERITY_ERROR: &str = "8388608";

fn read_pdml(text: &str) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut packets_inside = 0;
    let mut start = 0;
    for line in text.lines().map(str::trim) {
        if line == "<packet>" {
            verdicts.push(Verdict::default());
            packets_inside = 0;
        }
        let (Some(verdict), Some(name)) = (verdicts.last_mut(), attribute(line, "name")) else { continue };
        if name == "_ws.malformed" && line.starts_with("<proto") {
            verdict.complaints.push(attribute(line, "showname").unwrap_or(name).to_owned());
        }
        if name == "_ws.expert.severity" && attribute(line, "show") == Some(SEVERITY_ERROR) {
            verdict.complaints.push("expert information of severity error".to_owned());
        }
        if !name.starts_with("nhrp.") {
            continue;
        }
        let position: usize = attribute(line, "pos").unwrap().parse().unwrap();
        if name == "nhrp.hdr.afn" {
            packets_inside += 1;
            start = if packets_inside == 1 { position } else { start };
        }
        if packets_inside > 1 {
            continue;
        }
        match name {
            "nhrp.hdr.chksum" => continue,
            "nhrp.hdr.chksum.status" => {
                verdict.checksum_status = attribute(line, "show").unwrap().to_owned();
                continue;
            }
            "nhrp.ext.type" if verdict.first_extension.is_none() => {
                verdict.first_extension = Some(position - start);
            }
            // The bits of the flags and of the type/length octets; the whole is there too.
            _ if name.starts_with("nhrp.flag.") || name.ends_with("tl.type") || name.ends_with("tl.len") => {
                continue;
            }
            _ if name.ends_with(".invalid")
                || name.ends_with(".bad_checksum")
                || name.ends_with(".malformed") =>
            {
                verdict.complaints.push(name.to_owned());
                continue;
            }
            "nhrp.ext.not_allowed" | "nhrp.ext.extra" => {
                verdict.complaints.push(name.to_owned());
                continue;
            }
            _ => {}
        }
        let value = if name.starts_with("nhrp.ext.") && name != "nhrp.ext.len" { "show" } else { "value" };
        // tshark has a second name for addresses that are not IPv4, once misspelt.
        let name = name.trim_end_matches("_bytes").trim_end_matches("_byets");
        verdict.fields.push((name.to_owned(), attribute(line, value).unwrap_or_default().to_owned()));
    }
    verdicts
}

/// The fields that tshark should find in a packet of `size` octets, from its typed form.
pub(crate) fn expected(packet: &Packet, size: usize, first_extension: Option<usize>) -> Vec<Field> {
    let mut list = List::default();
    let subaddress = |octets: &[u8]| format!("{:02x}", octets.len());
    list.add("hdr.afn", format!("{:04x}", packet.nbma_family.afn()));
    list.add("hdr.pro.type", format!("{:04x}", packet.protocol_family.protocol_type()));
    list.add("protocol_type", "0000000000".to_owned());
    list.add("hdr.hopcnt", format!("{:02x}", packet.hop_count));
    list.add("hdr.pktsz", format!("{size:04x}"));
    list.add("hdr.extoff", format!("{:04x}", first_extension.unwrap_or(0)));
    list.add("hdr.version", "01".to_owned());
    list.add("hdr.op.type", format!("{:02x}", u8::from(packet.message.packet_type())));
    list.add("hdr.shtl", length(packet.source_nbma));
    list.add("hdr.sstl", subaddress(&packet.source_nbma_subaddress));
    list.add("src.prot.len", length(packet.source_protocol));
    list.add("dst.prot.len", length(packet.destination_protocol));
    let mut cies: &[Cie] = &[];
    match &packet.message {
        Message::ErrorIndication { code, offset, .. } => {
            list.add("err.code", format!("{:04x}", u16::from(*code)));
            list.add("err.offset", format!("{offset:04x}"));
        }
        Message::TrafficIndication { .. } => {} // tshark passes over its flags and unused word
        other => {
            let exchange = other.exchange().unwrap();
            cies = &exchange.cies;
            list.add("flags", format!("{:04x}", packet.flags));
            list.add("reqid", format!("{:08x}", exchange.request_id));
        }
    }
    list.address("src.nbma.addr", packet.source_nbma);
    list.octets("src.nbma.saddr", &packet.source_nbma_subaddress);
    list.address("src.prot.addr", packet.source_protocol);
    list.address("dst.prot.addr", packet.destination_protocol);
    cies.iter().for_each(|cie| list.cie(cie));
    for extension in &packet.extensions {
        let kind = u16::from(extension.body.extension_type());
        list.add("ext.c", u8::from(extension.compulsory).to_string());
        list.add("ext.type", format!("{kind:#06x}"));
        let at = list.0.len();
        match &extension.body {
            ExtensionBody::Authentication { reserved, spi, data } => {
                list.add("auth_ext.reserved", format!("{reserved:04x}"));
                list.add("auth_ext.spi", format!("{spi:04x}"));
                // tshark takes the source protocol address of RFC 2332 section 5.3.4 from the data; of Cisco's
                // password that is the start, and one shorter than such an address it calls incomplete.
                let source = packet.source_protocol.map_or(0, |x| Family::of(x).address_len());
                let (address, rest) = data.split_at(source.min(data.len()));
                list.octets("auth_ext.src_addr", address);
                list.octets("auth_ext.data", rest);
            }
            ExtensionBody::VendorPrivate { vendor, data } => {
                list.octets("vendor_ext.id", vendor);
                list.octets("vendor_ext.data", data);
            }
            ExtensionBody::Unknown { data, .. } => list.octets("unknown_ext.value", data),
            entries => entries.cies().unwrap().iter().for_each(|cie| list.cie(cie)),
        }
        let value: usize = list.0[at..].iter().map(|(_, hex)| hex.len() / 2).sum();
        list.0.insert(at, ("nhrp.ext.len".to_owned(), format!("{value:04x}")));
    }
    if !packet.extensions.is_empty() {
        for (name, value) in [("ext.c", "1"), ("ext.type", "0x0000"), ("ext.len", "0000")] {
            list.add(name, value.to_owned());
        }
    }
    list.0
}

fn length(address: Option<IpAddr>) -> String {
    match address {
        None => "00",
        Some(IpAddr::V4(_)) => "04",
        Some(IpAddr::V6(_)) => "10",
    }
    .to_owned()
}

#[derive(Default)]
struct List(Vec<Field>);

impl List {
    fn add(&mut self, name: &str, value: String) {
        self.0.push((format!("nhrp.{name}"), value));
    }

    fn octets(&mut self, name: &str, octets: &[u8]) {
        if !octets.is_empty() {
            self.add(name, octets.iter().map(|x| format!("{x:02x}")).collect());
        }
    }

    fn address(&mut self, name: &str, address: Option<IpAddr>) {
        match address {
            None => {}
            Some(IpAddr::V4(address)) => self.octets(name, &address.octets()),
            Some(IpAddr::V6(address)) => self.octets(name, &address.octets()),
        }
    }

    fn cie(&mut self, cie: &Cie) {
        self.add("code", format!("{:02x}", u8::from(cie.code)));
        self.add("prefix", format!("{:02x}", cie.prefix_length));
        self.add("unused", "0000".to_owned());
        self.add("mtu", format!("{:04x}", cie.mtu));
        self.add("htime", format!("{:04x}", cie.holding_time));
        self.add("cli.addr_tl", length(cie.nbma));
        self.add("cli.saddr_tl", format!("{:02x}", cie.nbma_subaddress.len()));
        self.add("prot.len", length(cie.protocol));
        self.add("pref", format!("{:02x}", cie.preference));
        self.address("client.nbma.addr", cie.nbma);
        self.octets("client.nbma.saddr", &cie.nbma_subaddress);
        self.address("client.prot.addr", cie.protocol);
    }
}
