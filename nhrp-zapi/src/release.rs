//! Releases of FRR and the epochs of their API.
//!
//! Owns which release speaks which epoch, and how a release is read from what tools print. Never what an epoch
//! means on the wire; that is [`crate::ReleaseTable`].

use std::fmt;
use std::str::FromStr;

/// A release of FRR, as `8.4.4`, `10.3` or `10.7.0-dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number, 0 if not given. Within one `major.minor` the API does not change.
    pub patch: u16,
}

/// A span of releases that speak the same API, as far as nhrpd uses it; named for the first release of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Epoch {
    /// 8.4, 8.5, 9.0.
    Frr8_4,
    /// 9.1.
    Frr9_1,
    /// 10.0. A probe cannot tell it from 10.1, and need not.
    Frr10_0,
    /// 10.1: the weight of a nexthop has 8 octets.
    Frr10_1,
    /// 10.2 to 10.5.
    Frr10_2,
    /// 10.6, 10.7, and what came after when this was written.
    Frr10_6,
}

impl Epoch {
    /// Every epoch, oldest first.
    pub const ALL: [Self; 6] =
        [Self::Frr8_4, Self::Frr9_1, Self::Frr10_0, Self::Frr10_1, Self::Frr10_2, Self::Frr10_6];

    /// The oldest release that speaks it.
    #[must_use]
    pub fn first_release(self) -> Release {
        let (major, minor) =
            FIRST_RELEASES.iter().find(|(_, epoch)| *epoch == self).map_or((8, 4), |(release, _)| *release);
        Release { major, minor, patch: 0 }
    }
}

/// First release of each epoch. A release belongs to the last row that is not newer.
const FIRST_RELEASES: [((u16, u16), Epoch); 6] = [
    ((8, 4), Epoch::Frr8_4),
    ((9, 1), Epoch::Frr9_1),
    ((10, 0), Epoch::Frr10_0),
    ((10, 1), Epoch::Frr10_1),
    ((10, 2), Epoch::Frr10_2),
    ((10, 6), Epoch::Frr10_6),
];

/// The newest release whose numbers were compared.
const NEWEST_KNOWN: (u16, u16) = (10, 7);

/// Why a release cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Not of the form `MAJOR.MINOR[.PATCH]`.
    #[error("`{0}` is no FRR release; write it as 8.4, 9.1.3 or 10.3")]
    Syntax(String),
    /// Older than any supported one.
    #[error("FRR {0} is not supported; the oldest supported release is 8.4")]
    TooOld(Release),
}

impl Release {
    /// The epoch that the release speaks. Releases newer than any known one are taken to speak the newest;
    /// [`Release::is_newer_than_known`] tells.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::TooOld`] before 8.4.
    pub fn epoch(self) -> Result<Epoch, ReleaseError> {
        FIRST_RELEASES
            .iter()
            .rev()
            .find(|(first, _)| *first <= (self.major, self.minor))
            .map(|(_, epoch)| *epoch)
            .ok_or(ReleaseError::TooOld(self))
    }

    /// Newer than 10.7: its API is an assumption.
    #[must_use]
    pub fn is_newer_than_known(self) -> bool {
        (self.major, self.minor) > NEWEST_KNOWN
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

impl FromStr for Release {
    type Err = ReleaseError;

    /// Reads `10.3`, `8.4.4`, and what packagers append: `10.7.0-dev`, `8.4.4-1.1~deb12u1`, `10.3.1_git`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || ReleaseError::Syntax(text.to_owned());
        let numbers = text.trim().split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut parts = numbers.trim_end_matches('.').split('.');
        let mut number = || parts.next().map(str::parse::<u16>);
        let major = number().ok_or_else(syntax)?.map_err(|_| syntax())?;
        let minor = number().ok_or_else(syntax)?.map_err(|_| syntax())?;
        let patch = number().transpose().map_err(|_| syntax())?.unwrap_or(0);
        Ok(Self { major, minor, patch })
    }
}

/// Finds the release in what `zebra --version` prints (`zebra version 8.4.4`) or in the first line of
/// `show version` (`FRRouting 10.3 (hub) on Linux(6.1.0).`).
///
/// # Errors
///
/// [`ReleaseError::Syntax`] with the first line if neither form is found.
pub fn release_in_text(text: &str) -> Result<Release, ReleaseError> {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            if word == "version" || word == "FRRouting" {
                let rest = words.clone().next().unwrap_or_default();
                if let Ok(release) = rest.parse() {
                    return Ok(release);
                }
            }
        }
    }
    Err(ReleaseError::Syntax(text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn releases_fall_into_their_epochs() {
        for (text, epoch) in [
            ("8.4", Epoch::Frr8_4),
            ("8.4.4", Epoch::Frr8_4),
            ("8.5.7", Epoch::Frr8_4),
            ("9.0.5", Epoch::Frr8_4),
            ("9.1", Epoch::Frr9_1),
            ("9.1.3", Epoch::Frr9_1),
            ("10.0.5", Epoch::Frr10_0),
            ("10.1.5", Epoch::Frr10_1),
            ("10.2.6", Epoch::Frr10_2),
            ("10.3", Epoch::Frr10_2),
            ("10.5.4", Epoch::Frr10_2),
            ("10.6.1", Epoch::Frr10_6),
            ("10.7.1", Epoch::Frr10_6),
            ("10.8-dev", Epoch::Frr10_6),
            ("11.0", Epoch::Frr10_6),
        ] {
            assert_eq!(release(text).epoch(), Ok(epoch), "{text}");
        }
        assert_eq!(release("8.3.1").epoch(), Err(ReleaseError::TooOld(release("8.3.1"))));
        assert!(release("10.8").is_newer_than_known());
        assert!(!release("10.7.9").is_newer_than_known());
    }

    #[test]
    fn releases_are_found_in_what_tools_print() {
        for (text, expected) in [
            ("zebra version 8.4.4\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n", "8.4.4"),
            ("FRRouting 10.3 (hub) on Linux(6.1.0-28-amd64).\nCopyright", "10.3"),
            ("FRRouting 10.7.1-2+b1 (r1) on Linux(6.1).", "10.7.1"),
        ] {
            assert_eq!(release_in_text(text), Ok(release(expected)), "{text}");
        }
        assert!(release_in_text("zebra: command not found").is_err());
        assert!(release_in_text("").is_err());
        for bad in ["", "ten", "10", "10.x", "1000000.1"] {
            assert!(bad.parse::<Release>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_release_prints_as_frr_writes_it() {
        assert_eq!(release("10.3.0").to_string(), "10.3");
        assert_eq!(release("8.4.4").to_string(), "8.4.4");
    }
}
