//! Addresses of a crowd: spoke number N has the Nth NBMA address and the Nth overlay address.
//!
//! Owns the arithmetic. Never knows what is sent.

use std::net::Ipv4Addr;

/// The members of a crowd, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spokes {
    /// How many.
    pub(crate) count: u32,
    /// NBMA address of the first.
    pub(crate) nbma: Ipv4Addr,
    /// Overlay address of the first.
    pub(crate) overlay: Ipv4Addr,
}

impl Spokes {
    /// NBMA address of a spoke.
    pub(crate) fn nbma(self, spoke: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.nbma.to_bits().wrapping_add(spoke))
    }

    /// Overlay address of a spoke.
    pub(crate) fn overlay(self, spoke: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.overlay.to_bits().wrapping_add(spoke))
    }

    /// The spoke with this NBMA address.
    pub(crate) fn at(self, nbma: Ipv4Addr) -> Option<u32> {
        let spoke = nbma.to_bits().wrapping_sub(self.nbma.to_bits());
        (spoke < self.count).then_some(spoke)
    }

    /// `size` spokes spread evenly over all, or all if there are fewer.
    pub(crate) fn sample(self, size: u32) -> Vec<u32> {
        let size = size.min(self.count);
        let spread = (0..size).map(|part| {
            let middle = (u64::from(part) * 2 + 1) * u64::from(self.count) / (u64::from(size) * 2);
            u32::try_from(middle).unwrap_or(u32::MAX)
        });
        spread.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spokes(count: u32) -> Spokes {
        Spokes { count, nbma: [198, 18, 0, 1].into(), overlay: [10, 254, 0, 1].into() }
    }

    #[test]
    fn addresses_carry_over_octets_and_are_found_again() {
        let spokes = spokes(3000);
        assert_eq!(spokes.nbma(255), Ipv4Addr::new(198, 18, 1, 0));
        assert_eq!(spokes.overlay(2999), Ipv4Addr::new(10, 254, 11, 184));
        assert!((0..3000).all(|spoke| spokes.at(spokes.nbma(spoke)) == Some(spoke)));
        assert_eq!(spokes.at(spokes.nbma(3000)), None);
        assert_eq!(spokes.at(Ipv4Addr::new(198, 18, 0, 0)), None);
    }

    #[test]
    fn a_sample_is_spread_and_has_nobody_twice() {
        let sample = spokes(3000).sample(40);
        assert_eq!(sample.len(), 40);
        assert_eq!((sample.first(), sample.last()), (Some(&37), Some(&2962)));
        assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(spokes(3).sample(40), [0, 1, 2]);
    }
}
