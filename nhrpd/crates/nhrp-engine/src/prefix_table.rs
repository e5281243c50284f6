//! A prefix table over both families: longest match for addresses, subtrees for what a change covers.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

/// Two tries, one a family.
#[derive(Debug)]
pub(crate) struct PrefixTable<T> {
    v4: PrefixMap<Ipv4Net, T>,
    v6: PrefixMap<Ipv6Net, T>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { v4: PrefixMap::new(), v6: PrefixMap::new() }
    }
}

impl<T> PrefixTable<T> {
    pub(crate) fn insert(&mut self, prefix: IpNet, value: T) -> Option<T> {
        match prefix {
            IpNet::V4(p) => self.v4.insert(p.trunc(), value),
            IpNet::V6(p) => self.v6.insert(p.trunc(), value),
        }
    }

    pub(crate) fn remove(&mut self, prefix: IpNet) -> Option<T> {
        match prefix {
            IpNet::V4(p) => self.v4.remove(&p.trunc()),
            IpNet::V6(p) => self.v6.remove(&p.trunc()),
        }
    }

    pub(crate) fn get(&self, prefix: IpNet) -> Option<&T> {
        match prefix {
            IpNet::V4(p) => self.v4.get(&p.trunc()),
            IpNet::V6(p) => self.v6.get(&p.trunc()),
        }
    }

    pub(crate) fn get_mut(&mut self, prefix: IpNet) -> Option<&mut T> {
        match prefix {
            IpNet::V4(p) => self.v4.get_mut(&p.trunc()),
            IpNet::V6(p) => self.v6.get_mut(&p.trunc()),
        }
    }

    /// Longest match.
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<(IpNet, &T)> {
        match address {
            IpAddr::V4(a) => self.v4.get_lpm(&Ipv4Net::from(a)).map(|(p, v)| (IpNet::V4(p), v)),
            IpAddr::V6(a) => self.v6.get_lpm(&Ipv6Net::from(a)).map(|(p, v)| (IpNet::V6(p), v)),
        }
    }

    /// Everything at or below `prefix`.
    pub(crate) fn within(&self, prefix: IpNet) -> Vec<(IpNet, &T)> {
        match prefix {
            IpNet::V4(p) => self.v4.children(&p.trunc()).map(|(p, v)| (IpNet::V4(p), v)).collect(),
            IpNet::V6(p) => self.v6.children(&p.trunc()).map(|(p, v)| (IpNet::V6(p), v)).collect(),
        }
    }

    /// What is at or below `prefix`; none if that is more than `most`.
    pub(crate) fn few_within(&self, prefix: IpNet, most: usize) -> Option<Vec<(IpNet, &T)>> {
        let few: Vec<_> = match prefix {
            IpNet::V4(p) => {
                self.v4.children(&p.trunc()).map(|(p, v)| (IpNet::V4(p), v)).take(most + 1).collect()
            }
            IpNet::V6(p) => {
                self.v6.children(&p.trunc()).map(|(p, v)| (IpNet::V6(p), v)).take(most + 1).collect()
            }
        };
        (few.len() <= most).then_some(few)
    }

    /// Everything at or above `prefix`.
    pub(crate) fn covering(&self, prefix: IpNet) -> Vec<(IpNet, &T)> {
        match prefix {
            IpNet::V4(p) => self.v4.cover(&p.trunc()).map(|(p, v)| (IpNet::V4(p), v)).collect(),
            IpNet::V6(p) => self.v6.cover(&p.trunc()).map(|(p, v)| (IpNet::V6(p), v)).collect(),
        }
    }

    pub(crate) fn prefixes(&self) -> Vec<IpNet> {
        self.v4.keys().map(IpNet::V4).chain(self.v6.keys().map(IpNet::V6)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// The host prefix of an address.
pub(crate) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// How many leading bits two addresses of a family share.
pub(crate) fn shared_bits(a: IpAddr, b: IpAddr) -> u8 {
    let differ = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => 0,
    };
    u8::try_from(differ).unwrap_or(u8::MAX)
}

/// `address/len`, with the bits behind `len` cleared and `len` bounded to the family's width.
pub(crate) fn truncated(address: IpAddr, len: u8) -> IpNet {
    let bounded = len.min(host(address).max_prefix_len());
    IpNet::new(address, bounded).map_or_else(|_| host(address), |net| net.trunc())
}
