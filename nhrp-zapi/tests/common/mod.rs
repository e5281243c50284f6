//! Reads the captured conversations in `tests/data`.
#![allow(dead_code, unreachable_pub)]

use nhrp_zapi::{Epoch, FrameBuffer, Header};

pub struct Capture {
    pub name: &'static str,
    pub epoch: Epoch,
    /// zebra to nhrpd.
    pub received: Vec<Vec<u8>>,
    /// nhrpd to zebra, as FRR's own nhrpd wrote it.
    pub sent: Vec<Vec<u8>>,
}

macro_rules! captures {
    ($($file:literal $epoch:ident,)+) => {
        pub fn all() -> Vec<Capture> {
            vec![$(Capture::parse($file, Epoch::$epoch, include_str!(concat!("../data/frr-", $file, ".zapi"))),)+]
        }
    };
}

captures! {
    "8.4.4" Frr8_4,
    "8.4.4-gre" Frr8_4,
    "9.1.3" Frr9_1,
    "10.0.5" Frr10_0,
    "10.1.5" Frr10_1,
    "10.3.4" Frr10_2,
    "10.3.4-gre" Frr10_2,
    "10.5.4" Frr10_2,
    "10.7.0" Frr10_6,
    "10.7.0-gre" Frr10_6,
}

pub fn named(name: &str) -> Capture {
    all().into_iter().find(|capture| capture.name == name).unwrap()
}

impl Capture {
    fn parse(name: &'static str, epoch: Epoch, text: &str) -> Self {
        let direction =
            |mark: &str| text.lines().filter_map(|line| line.strip_prefix(mark)).map(unhex).collect();
        Self { name, epoch, received: direction("< "), sent: direction("> ") }
    }
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Header and body of one whole frame.
pub fn frame(bytes: &[u8]) -> (Header, Vec<u8>) {
    let mut frames = FrameBuffer::default();
    frames.extend(bytes);
    let (header, body) = frames.next_frame().unwrap().expect("a whole frame");
    let body = body.to_vec();
    assert_eq!(frames.next_frame(), Ok(None), "more than one frame");
    (header, body)
}
