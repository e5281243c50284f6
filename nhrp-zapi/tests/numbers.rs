//! The table of numbers against FRR's own lists: every command of every stable series from 8.4 on, and of master.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use nhrp_zapi::{Command, Epoch, Release, ReleaseTable};

const NUMBERS: &str = include_str!("data/numbers.txt");

/// FRR's name of a command, derived from ours.
fn frr_name(command: Command) -> String {
    let mut name = String::new();
    for letter in format!("{command:?}").replace("RouteDelete", "RouteDel").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    // FRR is not of one mind how to shorten.
    match command {
        Command::RouteDelete => "ROUTE_DELETE".to_owned(),
        Command::NeighIpDelete => "NEIGH_IP_DEL".to_owned(),
        _ => name,
    }
}

#[test]
fn every_number_is_frrs_in_every_series() {
    let mut lines = NUMBERS.lines().filter(|line| !line.starts_with('#'));
    let series: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    assert_eq!((series.first(), series.last(), series.len()), (Some(&"8.4"), Some(&"master"), 13));
    let epochs: Vec<Epoch> = series
        .iter()
        .map(|name| name.parse::<Release>().unwrap_or("10.8".parse().unwrap()).epoch().unwrap())
        .collect();
    assert_eq!(epochs.iter().collect::<BTreeSet<_>>().len(), Epoch::ALL.len(), "each epoch has a column");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| -> Vec<Option<u16>> {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row {name}"));
        assert_eq!(row.len(), series.len() + 1, "{name}");
        row[1..].iter().map(|number| number.parse().ok()).collect()
    };
    let mut compared = 0;
    for command in Command::ALL {
        for ((number, epoch), series) in row(&frr_name(*command)).into_iter().zip(&epochs).zip(&series) {
            assert_eq!(ReleaseTable::of(*epoch).number(*command), number, "{command:?} in {series}");
            compared += 1;
        }
    }
    assert_eq!(compared, Command::ALL.len() * 13);
    for (at, epoch) in epochs.iter().enumerate() {
        let table = ReleaseTable::of(*epoch);
        let number = |name: &str| row(name)[at];
        assert_eq!(number("ROUTE_TYPE_NHRP"), Some(u16::from(table.route_type_nhrp)));
        assert_eq!(number("ROUTE_TYPE_ALL"), Some(u16::from(table.route_type_all)));
        assert_eq!(number("ROUTE_TYPE_LOCAL"), table.route_type_local.map(u16::from));
    }
}

/// FRR's numbers up to 9.1; from 10.0 on everything behind the new type LOCAL is one higher.
#[test]
fn routes_of_routing_protocols_are_told_from_others() {
    // RIP, RIPNG, OSPF, OSPF6, IS-IS, BGP, PIM, EIGRP; OLSR, BABEL, OPENFABRIC.
    let learned = [4, 5, 6, 7, 8, 9, 10, 11, 14, 22, 26];
    // STATIC, NHRP, HSLS, TABLE, LDP, VNC, SHARP, PBR, BFD, VRRP, NHG, SRTE.
    let others = [3, 12, 13, 15, 16, 17, 23, 24, 25, 27, 28, 29];
    for epoch in Epoch::ALL {
        let table = ReleaseTable::of(epoch);
        let shift = table.route_type_nhrp - 12;
        for (numbers, expected) in [(&learned[..], true), (&others, false)] {
            for number in numbers {
                assert_eq!(table.is_routing_protocol(number + shift), expected, "{number} in {epoch:?}");
            }
        }
        // SYSTEM, KERNEL, CONNECT, and LOCAL where it is.
        assert!((0..3 + shift).all(|number| !table.is_routing_protocol(number)), "{epoch:?}");
    }
}
