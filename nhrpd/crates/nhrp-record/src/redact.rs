//! Passwords and contents of data packets do not get into a recording.
//!
//! A password becomes a random word of the same length, the same word wherever the password comes up: in the
//! configuration, in packets sent and received, and in packets that errors quote. So two passwords are equal in the
//! recording if they were, and a replay takes the same ways. The words are in no file.
//!
//! Data packets (logged ones, and those in traffic indications) keep their IP header; what follows becomes zeros.

use std::collections::HashMap;
use std::ops::Range;

use nhrp_engine::{Input, Output};
use nhrp_wire::{PacketType, checksum};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Passwords that are told apart; peers may send as many as they like.
const MOST_WORDS: usize = 1024;
/// Where the addresses of a packet begin.
const ADDRESSES_AT: usize = 28;
const TYPE_AUTHENTICATION: u16 = 7;

/// Replaces what must not be recorded.
#[derive(Debug)]
pub struct Redactor {
    words: HashMap<Vec<u8>, Vec<u8>>,
    rng: StdRng,
}

fn number16(octets: &[u8], at: usize) -> Option<usize> {
    let word = octets.get(at..)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*word)))
}

/// Octets of the mandatory part behind the addresses.
fn contents(octets: &[u8]) -> Option<Range<usize>> {
    let length = |at: usize, bits: u8| octets.get(at).map(|octet| usize::from(octet & bits));
    let addresses = length(18, 0x3F)? + length(19, 0x3F)? + length(20, 0xFF)? + length(21, 0xFF)?;
    let end = number16(octets, 14).filter(|offset| *offset != 0).unwrap_or(octets.len());
    Some(ADDRESSES_AT + addresses..end.min(octets.len()))
}

/// The packet that an error indication carries.
pub(crate) fn quoted(octets: &mut [u8]) -> Option<&mut [u8]> {
    if octets.get(17) != Some(&u8::from(PacketType::ErrorIndication)) {
        return None;
    }
    let range = contents(octets)?;
    octets.get_mut(range)
}

/// Passwords of a packet, whole or cut short: where they are, and how long they would be.
fn passwords(octets: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut found = Vec::new();
    let mut at = match number16(octets, 14) {
        Some(offset) if offset != 0 => offset,
        _ => return found,
    };
    while let (Some(kind), Some(length)) = (number16(octets, at), number16(octets, at + 2)) {
        let kind = kind & 0x3FFF;
        if kind == 0 {
            break;
        }
        let (start, end) = (at + 8, at + 4 + length);
        if kind == usize::from(TYPE_AUTHENTICATION) && start < end && start < octets.len() {
            found.push((start..end.min(octets.len()), end - start));
        }
        at = end;
    }
    found
}

fn clear_data(octets: &mut [u8]) {
    let header = match octets.first().map(|first| (first >> 4, usize::from(first & 15) * 4)) {
        Some((4, length)) => length.max(20),
        Some((6, _)) => 40,
        _ => 0,
    };
    octets.iter_mut().skip(header).for_each(|octet| *octet = 0);
}

impl Redactor {
    /// With words drawn from this seed, which must not be that of the engine.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { words: HashMap::new(), rng: StdRng::from_seed(seed) }
    }

    fn word(&mut self, password: &[u8]) -> Vec<u8> {
        if let Some(word) = self.words.get(password) {
            return word.clone();
        }
        if self.words.len() >= MOST_WORDS {
            return vec![b'#'; password.len()];
        }
        let mut word = Vec::new();
        // Short ones may be drawn twice.
        for _ in 0..64 {
            word = password.iter().map(|_| self.rng.random_range(b'a'..=b'z')).collect();
            if !self.words.values().any(|used| *used == word) {
                break;
            }
        }
        self.words.insert(password.to_vec(), word.clone());
        word
    }

    /// Part of a password of `whole` octets.
    fn part(&mut self, part: &[u8], whole: usize) -> Vec<u8> {
        let full = self.words.iter().find(|(p, _)| p.len() == whole && p.starts_with(part));
        match full.and_then(|(_, word)| word.get(..part.len())) {
            Some(word) => word.to_vec(),
            None => self.word(part),
        }
    }

    /// Replaces the passwords of one packet, wherever it is cut. A checksum that was right is right again.
    fn packet(&mut self, octets: &mut [u8]) {
        let size = number16(octets, 10).filter(|size| (ADDRESSES_AT..=octets.len()).contains(size));
        let whole = size.unwrap_or(octets.len());
        let sound = size.is_some() && octets.get(..whole).is_some_and(checksum::verify);
        for (place, length) in passwords(octets) {
            if let Some(slot) = octets.get_mut(place) {
                let word = self.part(slot, length);
                slot.copy_from_slice(&word);
            }
        }
        if let Some(inner) = quoted(octets) {
            self.packet(inner);
        }
        if octets.get(17) == Some(&u8::from(PacketType::TrafficIndication))
            && let Some(range) = contents(octets)
            && let Some(data) = octets.get_mut(range)
        {
            clear_data(data);
        }
        if sound && let Some(packet) = octets.get_mut(..whole) {
            write_checksum(packet);
        }
    }

    /// An input without what must not be recorded.
    #[must_use]
    pub fn input(&mut self, input: &Input) -> Input {
        let mut input = input.clone();
        match &mut input {
            Input::Configure { config, .. } => {
                if let Some((_, password)) = &mut config.authentication {
                    *password = String::from_utf8_lossy(&self.word(password.as_bytes())).into_owned();
                }
            }
            Input::Packet { octets, .. } => self.packet(octets),
            Input::Flow { octets, .. } | Input::Multicast { octets, .. } => clear_data(octets),
            _ => {}
        }
        input
    }

    /// The same for an output.
    #[must_use]
    pub fn output(&mut self, output: &Output) -> Output {
        let mut output = output.clone();
        match &mut output {
            Output::Send { octets, .. } => self.packet(octets),
            Output::Replicate { octets, .. } => clear_data(octets),
            _ => {}
        }
        output
    }
}

/// Makes the checksum of a whole packet right.
pub(crate) fn write_checksum(packet: &mut [u8]) {
    if let Some(slot) = packet.get_mut(12..14) {
        slot.fill(0);
    }
    let sum = checksum::internet(packet).to_be_bytes();
    if let Some(slot) = packet.get_mut(12..14) {
        slot.copy_from_slice(&sum);
    }
}
