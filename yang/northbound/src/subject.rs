//! The subject of a certificate as a line of text, for logs: nothing is decided by it. Who signed the certificate has
//! been verified by then; it is read with care all the same.

use std::fmt::Write as _;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
/// The version, which old certificates do not have.
const VERSION: u8 = 0xa0;
const BMP_STRING: u8 = 0x1e;
/// Characters of the line: certificates of thousands of names are nobody's to read.
const MOST: usize = 200;

/// Tag, content and what follows of the first value. No certificate is longer than two octets of length can say.
fn value(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = octets.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0x81 => rest.split_first_chunk::<1>().map(|(&[length], rest)| (usize::from(length), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        short @ 0..=0x7f => (usize::from(short), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of the first value if it is of this kind, and what follows.
fn expect(octets: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    value(octets).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// Values one after the other.
fn values(mut octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = value(octets)?;
        octets = rest;
        Some((tag, content))
    })
}

/// The short name of a kind of attribute.
fn attribute(object: &[u8]) -> &'static str {
    match object {
        [0x55, 0x04, 3] => "CN",
        [0x55, 0x04, 5] => "serialNumber",
        [0x55, 0x04, 6] => "C",
        [0x55, 0x04, 7] => "L",
        [0x55, 0x04, 8] => "ST",
        [0x55, 0x04, 10] => "O",
        [0x55, 0x04, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "E",
        _ => "?",
    }
}

fn text(tag: u8, content: &[u8]) -> String {
    let text = if tag == BMP_STRING {
        let units = content.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        String::from_utf8_lossy(content).into_owned()
    };
    // It stands in a log line.
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `O=example, CN=operator`, in the certificate's order; nothing of what is no certificate.
pub(crate) fn of(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (signed, _) = expect(certificate, SEQUENCE)?;
    // Serial number, algorithm, issuer and validity come first.
    let mut parts = values(signed).filter(|(tag, _)| *tag != VERSION).skip(4);
    let (_, names) = parts.next().filter(|(tag, _)| *tag == SEQUENCE)?;
    let mut line = String::new();
    for (_, pairs) in values(names).filter(|(tag, _)| *tag == SET) {
        for (_, pair) in values(pairs).filter(|(tag, _)| *tag == SEQUENCE) {
            let (object, rest) = expect(pair, OBJECT)?;
            let (tag, content, _) = value(rest)?;
            let comma = if line.is_empty() { "" } else { ", " };
            let _ = write!(line, "{comma}{}={}", attribute(object), text(tag, content));
        }
    }
    Some(line.chars().take(MOST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_a_line() {
        let made = certificate(&[(DnType::OrganizationName, "example"), (DnType::CommonName, "op\n1")]);
        assert_eq!(of(&made).as_deref(), Some("O=example, CN=op?1"));
        assert_eq!(of(&certificate(&[])).as_deref(), Some(""));
        let long = "x".repeat(1000);
        assert_eq!(of(&certificate(&[(DnType::CommonName, &long)])).map(|line| line.len()), Some(MOST));
    }

    #[test]
    fn what_is_cut_or_broken_is_no_subject_and_no_panic() {
        let made = certificate(&[(DnType::CommonName, "operator")]);
        for end in 0..made.len() {
            let _ = of(made.get(..end).unwrap());
            let mut broken = made.clone();
            *broken.get_mut(end).unwrap() ^= 0xff;
            let _ = of(&broken);
        }
        assert_eq!(of(b""), None);
    }
}
