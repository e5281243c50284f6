//! What this crate writes, read by tshark: every field, no complaint, a good checksum.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use nhrp_wire::{Message, Packet};
use support::{answers, golden, golden_named, samples, tshark};

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.encode(&mut octets).unwrap();
    octets
}

/// Compares tshark's reading of our octets with the packets that they were written from.
fn compare(command: &[String], packets: &[(String, Packet)]) {
    let octets: Vec<Vec<u8>> = packets.iter().map(|(_, packet)| encoded(packet)).collect();
    for (((name, packet), octets), verdict) in
        packets.iter().zip(&octets).zip(tshark::judge(command, &octets))
    {
        assert_eq!(verdict.checksum_status, "1", "{name}: checksum is not good to tshark");
        assert_eq!(
            verdict.first_extension.is_some(),
            !packet.extensions.is_empty(),
            "{name}: extensions seen by tshark"
        );
        let expected = tshark::expected(packet, octets.len(), verdict.first_extension);
        assert_eq!(verdict.fields, expected, "{name}: {packet:#}");
        // tshark calls the whole packet malformed when the packet inside an error indication ends early, as those
        // of FRR do behind the addresses. That is allowed (RFC 2332 section 5.2.7) and no fault of the encoding.
        let cut = match &packet.message {
            Message::ErrorIndication { packet: inside, .. } => Packet::decode(inside).is_err(),
            _ => false,
        };
        assert!(cut || verdict.complaints.is_empty(), "{name}: {:?}", verdict.complaints);
    }
}

#[test]
fn tshark_reads_what_the_golden_packets_lack() {
    let Some(command) = tshark::command() else { return };
    let packets: Vec<_> =
        samples::all().into_iter().map(|(name, packet)| (name.to_owned(), packet)).collect();
    compare(&command, &packets);
}

#[test]
fn tshark_reads_the_golden_packets_as_we_do() {
    let Some(command) = tshark::command() else { return };
    let packets: Vec<_> =
        golden().into_iter().chain(answers()).map(|x| (x.name, Packet::decode(&x.octets).unwrap())).collect();
    compare(&command, &packets);
}

/// The judge must be able to say no, or its yes is worth nothing.
#[test]
fn tshark_complains_about_damaged_packets() {
    let Some(command) = tshark::command() else { return };
    let good = golden_named("plain-registration-request-first");
    let mut damaged = good.clone();
    damaged[13] ^= 1;
    let mut misplaced = good.clone();
    misplaced[15] = 10;
    let mut cut = good.clone();
    cut[37] = 3; // a header that runs past what is there
    cut.truncate(60);
    let verdicts =
        tshark::judge(&command, &[good, damaged, support::resealed(misplaced), support::sealed(cut)]);
    assert_eq!(verdicts[0].checksum_status, "1");
    assert_eq!(verdicts[1].checksum_status, "0");
    assert!(verdicts[0].complaints.is_empty(), "{:?}", verdicts[0].complaints);
    assert!(!verdicts[1].complaints.is_empty());
    assert!(!verdicts[2].complaints.is_empty());
    let packet = Packet::decode(&golden_named("plain-registration-request-renewal")).unwrap();
    let expected = tshark::expected(&packet, 92, Some(52));
    assert_ne!(verdicts[0].fields, expected, "another packet has other fields");
}
