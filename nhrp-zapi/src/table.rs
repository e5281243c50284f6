//! What differs between releases, as data.
//!
//! Owns every number and every layout switch. A release that moves something gets a column or a row here and no
//! code elsewhere. Never encodes or decodes.

use crate::Epoch;

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $numbers:expr;)+) => {
        /// A command of ZAPI that nhrpd sends, receives or knowingly ignores. Its number depends on the release.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Command {
            $($(#[$doc])* $name,)+
        }

        impl Command {
            /// Every command, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }

        /// One row for each command, one column for each [`Column`].
        const NUMBERS: [[u16; COLUMNS]; Command::ALL.len()] = [$($numbers,)+];
    };
}

/// The release has no such command.
const NONE: u16 = u16::MAX;
const COLUMNS: usize = 4;

/// Columns of the table of numbers: releases whose numbers are the same for all commands that nhrpd uses.
#[derive(Clone, Copy)]
enum Column {
    Frr8_4 = 0,
    Frr9_1 = 1,
    Frr10_0 = 2,
    Frr10_2 = 3,
}

// 9.1 removed a command at 36, 10.0 inserted one at 7, 10.2 removed one at 33 and added three behind 100.
commands! {
    //                         8.4-9.0  9.1  10.0-10.1  10.2-
    /// Both ways: asks for all interfaces; tells of one.
    InterfaceAdd            = [0,    0,    0,    0];
    /// From zebra.
    InterfaceDelete         = [1,    1,    1,    1];
    /// From zebra.
    InterfaceAddressAdd     = [2,    2,    2,    2];
    /// From zebra.
    InterfaceAddressDelete  = [3,    3,    3,    3];
    /// From zebra.
    InterfaceUp             = [4,    4,    4,    4];
    /// From zebra.
    InterfaceDown           = [5,    5,    5,    5];
    /// To zebra: clears or sets `IFF_NOARP`.
    InterfaceSetArp         = [NONE, NONE, 7,    7];
    /// To zebra.
    RouteAdd                = [8,    8,    9,    9];
    /// To zebra.
    RouteDelete             = [9,    9,    10,   10];
    /// From zebra, only if asked for; nhrpd does not.
    RouteNotifyOwner        = [10,   10,   11,   11];
    /// To zebra.
    RedistributeAdd         = [11,   11,   12,   12];
    /// To zebra.
    RouterIdAdd             = [15,   15,   16,   16];
    /// From zebra.
    RouterIdUpdate          = [17,   17,   18,   18];
    /// To zebra: opens the session.
    Hello                   = [18,   18,   19,   19];
    /// From zebra: answer to HELLO.
    Capabilities            = [19,   19,   20,   20];
    /// From zebra.
    RedistributeRouteAdd    = [30,   30,   31,   31];
    /// From zebra.
    RedistributeRouteDelete = [31,   31,   32,   32];
    /// From zebra.
    VrfAdd                  = [33,   33,   34,   33];
    /// From zebra.
    VrfDelete               = [34,   34,   35,   34];
    /// From zebra, ignored: a deletion and an addition tell the same from 9.1 on.
    InterfaceVrfUpdate      = [36,   NONE, NONE, NONE];
    /// From zebra, ignored: traffic engineering.
    InterfaceLinkParams     = [42,   41,   42,   41];
    /// From zebra: unknown command or unknown VRF.
    Error                   = [118,  117,  118,  120];
    /// From zebra, ignored: graceful restart of another client.
    ClientCapabilities      = [119,  118,  119,  121];
    /// From zebra, ignored: another client left.
    ClientCloseNotify       = [125,  124,  125,  127];
    /// From zebra.
    NeighAdded              = [126,  125,  126,  128];
    /// From zebra.
    NeighRemoved            = [127,  126,  127,  129];
    /// From zebra.
    NeighGet                = [128,  127,  128,  130];
    /// To zebra.
    NeighRegister           = [129,  128,  129,  131];
    /// To zebra.
    NeighUnregister         = [130,  129,  130,  132];
    /// To zebra.
    NeighIpAdd              = [131,  130,  131,  133];
    /// To zebra.
    NeighIpDelete           = [132,  131,  132,  134];
    /// To zebra.
    ConfigureArp            = [133,  132,  133,  135];
    /// To zebra.
    GreGet                  = [134,  133,  134,  136];
    /// From zebra.
    GreUpdate               = [135,  134,  135,  137];
    /// To zebra.
    GreSourceSet            = [136,  135,  136,  138];
}

/// Numbers end below this in every release.
const NUMBER_LIMIT: usize = 160;

/// Numbers, route types and body layouts of one epoch.
#[derive(Debug)]
pub struct ReleaseTable {
    /// The epoch it is for.
    pub epoch: Epoch,
    numbers: [u16; Command::ALL.len()],
    by_number: [Option<Command>; NUMBER_LIMIT],
    /// Route type of NHRP, also the protocol in HELLO.
    pub route_type_nhrp: u8,
    /// Route type of the host prefixes of connected addresses, where it exists.
    pub route_type_local: Option<u8>,
    /// Route type that stands for all in REDISTRIBUTE_ADD.
    pub route_type_all: u8,
    /// HELLO has an octet that asks for route notifications.
    pub hello_has_notify: bool,
    /// Octets of the body of CAPABILITIES; the probe recognises the epoch by it.
    pub capabilities_length: usize,
    /// The VRF backend in CAPABILITIES is one octet, not four.
    pub capabilities_short_backend: bool,
    /// Interfaces tell their transmit queue length.
    pub interface_has_txqlen: bool,
    /// Interfaces tell zebra's interface type.
    pub interface_has_zif_type: bool,
    /// Neighbours tell the length of the kernel's link-layer address.
    pub neighbour_has_length: bool,
    /// Octets that the weight of a nexthop may have; where there are two, the length of the frame decides.
    pub weight_widths: &'static [usize],
}

/// There is one table for each epoch.
impl PartialEq for ReleaseTable {
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch
    }
}

impl Eq for ReleaseTable {}

impl ReleaseTable {
    /// The table of an epoch.
    #[must_use]
    pub fn of(epoch: Epoch) -> &'static Self {
        match epoch {
            Epoch::Frr8_4 => &FRR_8_4,
            Epoch::Frr9_1 => &FRR_9_1,
            Epoch::Frr10_0 => &FRR_10_0,
            Epoch::Frr10_1 => &FRR_10_1,
            Epoch::Frr10_2 => &FRR_10_2,
            Epoch::Frr10_6 => &FRR_10_6,
        }
    }

    /// Number of a command, if the epoch has it.
    #[must_use]
    pub fn number(&self, command: Command) -> Option<u16> {
        self.numbers.get(command as usize).copied().filter(|number| *number != NONE)
    }

    /// Command of a number, if this crate knows it.
    #[must_use]
    pub fn command(&self, number: u16) -> Option<Command> {
        self.by_number.get(usize::from(number)).copied().flatten()
    }

    /// zebra clears `IFF_NOARP` on request. Where it does not (up to 9.1) the daemon does it itself, by
    /// `SIOCSIFFLAGS` or netlink, and [`crate::Request::SetArp`] is dropped.
    #[must_use]
    pub fn has_set_arp(&self) -> bool {
        self.number(Command::InterfaceSetArp).is_some()
    }

    /// The route was learned by a routing protocol: RIP to EIGRP, which stand before NHRP in every release, OLSR, Babel
    /// and OpenFabric, whose distance from it never changed. Kernel, connected and static routes are not, nor is sharpd's.
    #[must_use]
    pub fn is_routing_protocol(&self, route_type: u8) -> bool {
        match route_type.checked_sub(self.route_type_nhrp) {
            Some(behind) => matches!(behind, 2 | 10 | 14),
            None => self.route_type_nhrp - route_type <= 8,
        }
    }
}

const fn table(epoch: Epoch, column: Column) -> ReleaseTable {
    let mut numbers = [NONE; Command::ALL.len()];
    let mut by_number = [None; NUMBER_LIMIT];
    let mut row = 0;
    while row < numbers.len() {
        // Evaluated by the compiler only: an index out of bounds cannot reach a running daemon.
        #[allow(clippy::indexing_slicing)]
        {
            let number = NUMBERS[row][column as usize];
            numbers[row] = number;
            if number != NONE {
                by_number[number as usize] = Some(Command::ALL[row]);
            }
        }
        row += 1;
    }
    ReleaseTable {
        epoch,
        numbers,
        by_number,
        route_type_nhrp: 13,
        route_type_local: Some(3),
        route_type_all: 32,
        hello_has_notify: false,
        capabilities_length: 12,
        capabilities_short_backend: false,
        interface_has_txqlen: true,
        interface_has_zif_type: false,
        neighbour_has_length: true,
        weight_widths: &[8],
    }
}

static FRR_8_4: ReleaseTable = ReleaseTable {
    route_type_nhrp: 12,
    route_type_local: None,
    route_type_all: 30,
    hello_has_notify: true,
    capabilities_length: 10,
    interface_has_txqlen: false,
    neighbour_has_length: false,
    weight_widths: &[4],
    ..table(Epoch::Frr8_4, Column::Frr8_4)
};

static FRR_9_1: ReleaseTable = ReleaseTable {
    route_type_nhrp: 12,
    route_type_local: None,
    route_type_all: 30,
    hello_has_notify: true,
    capabilities_length: 11,
    neighbour_has_length: false,
    weight_widths: &[4],
    ..table(Epoch::Frr9_1, Column::Frr9_1)
};

static FRR_10_0: ReleaseTable = ReleaseTable {
    capabilities_length: 11,
    // A probed 10.1 lands here too.
    weight_widths: &[4, 8],
    ..table(Epoch::Frr10_0, Column::Frr10_0)
};

static FRR_10_1: ReleaseTable =
    ReleaseTable { capabilities_length: 11, ..table(Epoch::Frr10_1, Column::Frr10_0) };

static FRR_10_2: ReleaseTable = table(Epoch::Frr10_2, Column::Frr10_2);

static FRR_10_6: ReleaseTable = ReleaseTable {
    capabilities_length: 9,
    capabilities_short_backend: true,
    interface_has_zif_type: true,
    ..table(Epoch::Frr10_6, Column::Frr10_2)
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_command() {
        for epoch in Epoch::ALL {
            let table = ReleaseTable::of(epoch);
            assert_eq!(table.epoch, epoch);
            for command in Command::ALL {
                if let Some(number) = table.number(*command) {
                    assert_eq!(table.command(number), Some(*command), "{epoch:?} {number}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_epoch_would_be_read_as_another_command() {
        let (old, new) = (ReleaseTable::of(Epoch::Frr8_4), ReleaseTable::of(Epoch::Frr10_2));
        assert_eq!(new.command(old.number(Command::RouteDelete).unwrap()), Some(Command::RouteAdd));
        assert!(!old.has_set_arp());
        assert!(new.has_set_arp());
    }
}
