//! A certificate authority for one run of the lab: X.509 (RFC 5280) with Ed25519 keys (RFC 8410).
//!
//! Owns the keys and the few lines of DER that such a certificate is. Never writes a file, never judges a certificate:
//! that is strongSwan's part.

use std::fs::File;
use std::io::Read;

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_compact::{KeyPair, Seed};

use crate::failure::{Context, Result};

const DAY: TimeDelta = TimeDelta::days(1);

/// Object identifiers as they are encoded.
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];

/// Tags.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;

/// Whether a certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Since yesterday, for a month.
    Now,
    /// It was, until yesterday.
    Over,
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Authority,
    End,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    /// `BEGIN CERTIFICATE`.
    pub(crate) certificate: String,
    /// `BEGIN PRIVATE KEY`.
    pub(crate) key: String,
}

/// The authority.
pub(crate) struct Authority {
    name: String,
    key: KeyPair,
    serial: u8,
    /// Its own certificate as PEM.
    pub(crate) certificate: String,
}

impl Authority {
    /// A new one, with a key that nobody else has.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let key = new_key()?;
        let certificate = certificate((name, &key), (name, &key), 1, Validity::Now, Kind::Authority);
        Ok(Self { name: name.to_owned(), key, serial: 1, certificate })
    }

    /// A new key with a certificate for a name.
    pub(crate) fn certify(&mut self, name: &str, validity: Validity) -> Result<Certified> {
        let key = new_key()?;
        self.serial += 1;
        let certificate =
            certificate((&self.name, &self.key), (name, &key), self.serial, validity, Kind::End);
        // RFC 8410 section 7: the seed in an octet string in an octet string.
        let seed = tagged(OCTET_STRING, &tagged(OCTET_STRING, key.sk.seed().as_ref()));
        let key = tagged(SEQUENCE, &[tagged(INTEGER, &[0]), algorithm(), seed].concat());
        Ok(Certified { certificate, key: pem("PRIVATE KEY", &key) })
    }
}

fn new_key() -> Result<KeyPair> {
    let mut seed = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut seed));
    read.context(|| "reading /dev/urandom".to_owned())?;
    Ok(KeyPair::from_seed(Seed::new(seed)))
}

/// RFC 5280 section 4.1.
fn certificate(
    issuer: (&str, &KeyPair),
    subject: (&str, &KeyPair),
    serial: u8,
    validity: Validity,
    kind: Kind,
) -> String {
    let now = Utc::now();
    let (from, until) = match validity {
        Validity::Now => (now - DAY, now + DAY * 30),
        Validity::Over => (now - DAY * 30, now - DAY),
    };
    let key = tagged(SEQUENCE, &[algorithm(), bits(subject.1.pk.as_ref())].concat());
    let (is_authority, usage) = match kind {
        // keyCertSign and cRLSign, the bits 5 and 6.
        Kind::Authority => (tagged(BOOLEAN, &[0xFF]), [BIT_STRING, 2, 1, 0x06]),
        // digitalSignature, the bit 0.
        Kind::End => (Vec::new(), [BIT_STRING, 2, 7, 0x80]),
    };
    let extensions = tagged(
        SEQUENCE,
        &[extension(BASIC_CONSTRAINTS, &tagged(SEQUENCE, &is_authority)), extension(KEY_USAGE, &usage)]
            .concat(),
    );
    let body = tagged(
        SEQUENCE,
        &[
            // 2 is version 3.
            tagged(VERSION, &tagged(INTEGER, &[2])),
            tagged(INTEGER, &[serial]),
            algorithm(),
            name(issuer.0),
            tagged(SEQUENCE, &[time(from), time(until)].concat()),
            name(subject.0),
            key,
            tagged(EXTENSIONS, &extensions),
        ]
        .concat(),
    );
    let signature = issuer.1.sk.sign(&body, None);
    let whole = tagged(SEQUENCE, &[body, algorithm(), bits(signature.as_ref())].concat());
    pem("CERTIFICATE", &whole)
}

/// A value with its tag and its length.
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match u8::try_from(value.len()) {
        Ok(length @ ..0x80) => octets.push(length),
        _ => {
            let length: Vec<u8> =
                value.len().to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            octets.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            octets.extend(length);
        }
    }
    octets.extend_from_slice(value);
    octets
}

fn bits(value: &[u8]) -> Vec<u8> {
    tagged(BIT_STRING, &[&[0], value].concat())
}

fn algorithm() -> Vec<u8> {
    tagged(SEQUENCE, &tagged(OBJECT, ED25519))
}

fn name(common: &str) -> Vec<u8> {
    let attribute = [tagged(OBJECT, COMMON_NAME), tagged(UTF8_STRING, common.as_bytes())].concat();
    tagged(SEQUENCE, &tagged(SET, &tagged(SEQUENCE, &attribute)))
}

/// A critical one.
fn extension(object: &[u8], value: &[u8]) -> Vec<u8> {
    tagged(
        SEQUENCE,
        &[tagged(OBJECT, object), tagged(BOOLEAN, &[0xFF]), tagged(OCTET_STRING, value)].concat(),
    )
}

/// A moment as `261231235959Z`, the form until 2049.
fn time(at: DateTime<Utc>) -> Vec<u8> {
    tagged(UTC_TIME, at.format("%y%m%d%H%M%SZ").to_string().as_bytes())
}

/// RFC 7468.
fn pem(label: &str, octets: &[u8]) -> String {
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(octets).as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        let at = DateTime::from_timestamp(951_825_599, 0).unwrap();
        assert_eq!(time(at), [&[UTC_TIME, 13], &b"000229115959Z"[..]].concat());
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        assert_eq!(tagged(OCTET_STRING, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(&tagged(OCTET_STRING, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(&tagged(OCTET_STRING, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn lines_of_pem_have_64_letters() {
        let text = pem("X", &[0; 49]);
        let lines: Vec<&str> = text.lines().collect();
        let letters = ["A".repeat(64), "AA==".to_owned()];
        assert_eq!(lines, ["-----BEGIN X-----", &letters[0], &letters[1], "-----END X-----"]);
    }
}
