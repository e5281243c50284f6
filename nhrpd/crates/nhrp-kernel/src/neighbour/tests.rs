//! Messages as octets, by the layout of linux/neighbour.h; tests/live.rs has iproute2 judge them.

use super::*;

#[test]
fn a_permanent_entry_as_octets() {
    let entry = NeighbourEntry {
        ifindex: 5,
        protocol: "10.255.255.2".parse().unwrap(),
        nbma: "192.0.2.6".parse().unwrap(),
        kind: NeighbourKind::Permanent,
    };
    let mut message = request(RouteNetlinkMessage::NewNeighbour(entry.message()));
    message.header.flags = 0x0505;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    // `ip neigh replace 10.255.255.2 lladdr 192.0.2.6 dev … nud permanent protocol 191`
    let expected: [u8; 52] = [
        52, 0, 0, 0, 28, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, // RTM_NEWNEIGH
        2, 0, 0, 0, 5, 0, 0, 0, 0x80, 0, 0, 0, // AF_INET, ifindex, NUD_PERMANENT
        8, 0, 1, 0, 10, 255, 255, 2, // NDA_DST
        8, 0, 2, 0, 192, 0, 2, 6, // NDA_LLADDR
        5, 0, 12, 0, 191, 0, 0, 0, // NDA_PROTOCOL
    ];
    assert_eq!(octets, expected);
    let Some(NeighbourEvent::Changed(back)) = read(&octets) else { panic!("not read back") };
    assert!(back.serves(&entry) && back.ifindex == 5 && back.address == entry.protocol);
}

#[test]
fn a_shortcut_is_reachable_and_externally_learned() {
    let entry = NeighbourEntry {
        ifindex: 5,
        protocol: "2001:db8::2".parse().unwrap(),
        nbma: "2001:db8:1::6".parse().unwrap(),
        kind: NeighbourKind::ExternallyLearned,
    };
    let message = entry.message();
    assert_eq!(u16::from(message.header.state), 0x02);
    assert_eq!(message.header.flags.bits(), 0x10);
    let back = neighbour(&message).unwrap();
    assert_eq!(back.nbma, Some(entry.nbma));
    assert!(back.serves(&entry));
}

#[test]
fn what_is_no_neighbour_of_ours_is_nothing() {
    let mut bridge = NeighbourMessage::default();
    bridge.header.family = AddressFamily::Bridge;
    bridge.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]));
    assert_eq!(neighbour(&bridge), None);
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[0xFF; 40]), None);
}
