//! What the integration tests share: the golden packets of tests/golden, read from their text form.
#![allow(dead_code)] // each test binary uses a part

/// One packet from the wire with its provenance.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) release: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) octets: Vec<u8>,
}

/// The packets captured between nhrpd daemons of FRR, in the order of the file.
pub(crate) fn golden() -> Vec<Golden> {
    parse(include_str!("../../../../../tests/golden/nhrp-packets.txt"))
}

/// Answers of FRR to requests that FRR itself does not send.
pub(crate) fn answers() -> Vec<Golden> {
    parse(include_str!("../../../../../tests/golden/nhrp-answers.txt"))
}

fn parse(text: &str) -> Vec<Golden> {
    let mut packets: Vec<Golden> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (name, none) = (name.to_owned(), String::new);
            packets.push(Golden { name, release: none(), from: none(), to: none(), octets: Vec::new() });
            continue;
        }
        let packet = packets.last_mut().expect("a stanza begins with [name]");
        let (key, value) = line.split_at(9);
        match key.trim_end() {
            "release" => packet.release = value.to_owned(),
            "from" => packet.from = value.to_owned(),
            "to" => packet.to = value.to_owned(),
            "hex" | "" => packet.octets.extend(hex(value)),
            other => panic!("unknown key {other} in {}", packet.name),
        }
    }
    for packet in &packets {
        let provenance = [&packet.release, &packet.from, &packet.to];
        assert!(provenance.iter().all(|x| !x.is_empty()), "{} lacks its provenance", packet.name);
    }
    packets
}

/// The golden packet of that name.
pub(crate) fn golden_named(name: &str) -> Vec<u8> {
    golden().into_iter().find(|packet| packet.name == name).expect("golden packet").octets
}

/// Octets from hexadecimal text; white space is ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|x| u8::try_from(x).unwrap()).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {text}");
    digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
}

/// Packets of every shape that the golden ones lack, each with a name for messages.
pub(crate) mod samples;
/// tshark as a second opinion.
pub(crate) mod tshark;

/// `octets` with the size and the right checksum filled in.
pub(crate) fn sealed(mut octets: Vec<u8>) -> Vec<u8> {
    let size = u16::try_from(octets.len()).unwrap();
    octets[10..12].copy_from_slice(&size.to_be_bytes());
    resealed(octets)
}

/// `octets` with the right checksum over the size that they state.
pub(crate) fn resealed(mut octets: Vec<u8>) -> Vec<u8> {
    let size = usize::from(u16::from_be_bytes([octets[10], octets[11]])).min(octets.len());
    octets[12..14].fill(0);
    let sum = nhrp_wire::checksum::internet(&octets[..size]);
    octets[12..14].copy_from_slice(&sum.to_be_bytes());
    octets
}
