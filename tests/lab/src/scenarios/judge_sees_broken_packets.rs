//! tshark, on which every scenario relies, reports a flipped bit and a short packet.

use std::fs;

use super::Lab;
use crate::failure::{Context, Result, ensure};
use crate::judge::{Type, judge};

/// A registration request as FRR 8.4.4 sends it: 10.255.255.1 at 10.1.1.1 to its NHS at 10.2.1.2.
const REQUEST: &str = "00010800000000000001005c3003003401030400040480020000\
                       00010a0101010affff010affff0100ff00000578001e0000000080\
                       0400008005000080030000000900140020000005780000040004\
                       000a0201020000000080000000";

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let good = bytes(REQUEST)?;
    ensure!(good.len() == 0x5c, "the sample has {} bytes", good.len());
    let file = lab.out().join("good.pcap");
    write_capture(&file, &good)?;
    let verdict = judge(&file)?;
    verdict.require(&[(Type::RegistrationRequest, 1)])?;
    let too_few = verdict.require(&[(Type::RegistrationRequest, 2)]);
    ensure!(too_few.is_err(), "one packet passed as two");
    let nhrp = verdict.nhrp().next().context(|| "no packet".to_owned())?.1;
    ensure!(
        nhrp.hop_count == 1 && nhrp.extensions == [4, 5, 3, 9, 0] && nhrp.error.is_none(),
        "the judge read the packet as {nhrp:?}"
    );

    let mut flipped = good.clone();
    flipped.iter_mut().skip(40).take(1).for_each(|byte| *byte ^= 1); // in a protocol address
    expect_refused(lab, "flipped-bit", &flipped, "checksum")?;
    let mut short = good.clone();
    short.truncate(60); // in the extensions
    expect_refused(lab, "short", &short, "alformed")
}

/// The judge must refuse this packet with a reason that contains `reason`.
fn expect_refused(lab: &Lab, name: &str, nhrp: &[u8], reason: &str) -> Result<()> {
    let file = lab.out().join(format!("{name}.pcap"));
    write_capture(&file, nhrp)?;
    let refused = judge(&file)?.require(&[]);
    let Err(failure) = refused else { crate::failure::fail!("the judge accepted the packet {name}") };
    ensure!(failure.to_string().contains(reason), "the judge refused {name} because of {failure}");
    Ok(())
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = hex.chars().collect();
    digits
        .chunks(2)
        .map(|pair| {
            let text: String = pair.iter().collect();
            u8::from_str_radix(&text, 16).context(|| format!("hex digits {text:?}"))
        })
        .collect()
}

/// A capture file with one packet: the NHRP packet in GRE with key 42 in IPv4.
fn write_capture(file: &std::path::Path, nhrp: &[u8]) -> Result<()> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 47, 0, 0, 10, 1, 1, 1, 10, 2, 1, 2];
    packet.extend([0x20, 0x00, 0x20, 0x01, 0, 0, 0, 42]);
    packet.extend(nhrp);
    let length = u16::try_from(packet.len()).context(|| "packet length".to_owned())?;
    packet.iter_mut().skip(2).zip(length.to_be_bytes()).for_each(|(byte, value)| *byte = value);
    const RAW_IP: u32 = 101;
    let mut capture: Vec<u8> = Vec::new();
    capture.extend(0xa1b2_c3d4_u32.to_le_bytes());
    capture.extend([2, 0, 4, 0]);
    for word in [0, 0, 65_535, RAW_IP, 1, 0, u32::from(length), u32::from(length)] {
        capture.extend(word.to_le_bytes());
    }
    capture.extend(packet);
    fs::write(file, capture).context(|| format!("writing {}", file.display()))
}
