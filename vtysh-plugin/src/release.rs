//! The FRR release whose texts are printed. Owns the thresholds at which they changed.

/// Release of the installed FRR (that of vtysh and zebra), as far as texts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 8, 9, 10.
    pub major: u16,
    /// 4 of 8.4.4.
    pub minor: u16,
}

impl Release {
    /// Release `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// From text such as `8.4.4`, `10.3` or `10.8-dev`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?;
        let digits = minor.bytes().take_while(u8::is_ascii_digit).count();
        Some(Self { major, minor: minor.get(..digits)?.parse().ok()? })
    }

    /// 10.8 widened the first column of `cache` and `nhs` from 8 to 16 and added priority and reachability of an NHS.
    pub(crate) const fn wide_tables(self) -> bool {
        self.at_least(10, 8)
    }

    /// Since 10.3 `opennhrp` separates records by one line, counts them and says so when there are none.
    pub(crate) const fn tidy_opennhrp(self) -> bool {
        self.at_least(10, 3)
    }

    /// json-c before 0.17, which the distributions of FRR's 8 and 9 ship, breaks the line in an empty array.
    pub(crate) const fn broken_empty_array(self) -> bool {
        !self.at_least(10, 0)
    }

    /// Since 10.5 mgmtd prints the `log …` lines and the other daemons keep them to themselves.
    pub(crate) const fn prints_log_lines(self) -> bool {
        !self.at_least(10, 5)
    }

    /// Up to 10.0 the JSON of access lists has the daemon's name around it.
    pub(crate) const fn names_daemon_in_access_lists(self) -> bool {
        !self.at_least(10, 1)
    }

    /// Whether a line of a prefix list that is there already is nothing new: up to 8.5 always, from 9.0 to 10.3 never, and
    /// since then if it has no number.
    pub(crate) const fn finds_prefixes(self, numbered: bool) -> bool {
        !self.at_least(9, 0) || (self.at_least(10, 4) && !numbered)
    }

    /// Since 10.4 a rule's range is looked at before the number that it would get.
    pub(crate) const fn checks_ranges_first(self) -> bool {
        self.at_least(10, 4)
    }

    /// Since 10.5 `log …` goes through the northbound, which refuses and says less.
    pub(crate) const fn configures_log_by_northbound(self) -> bool {
        self.at_least(10, 5)
    }

    /// Up to 8.4 `service cputime-warning` is taken in milliseconds and printed in microseconds.
    pub(crate) const fn prints_warnings_in_microseconds(self) -> bool {
        !self.at_least(8, 5)
    }

    /// Up to 10.2 one more `!` stands between the host's block and the first interface.
    pub(crate) const fn extra_separator(self) -> bool {
        !self.at_least(10, 3)
    }

    /// Since 10.6 the records of a live log say how many digits of a second to print.
    pub(crate) const fn has_long_live_header(self) -> bool {
        self.at_least(10, 6)
    }

    /// Since 10.0 what were threads are events in the statistics of the loop.
    pub(crate) const fn says_event(self) -> bool {
        self.at_least(10, 0)
    }

    /// Since 10.5 `show logging` has a line about `log record-severity`.
    pub(crate) const fn has_record_severity(self) -> bool {
        self.at_least(10, 5)
    }

    /// Since 10.6 the loop waits by epoll, and says so.
    pub(crate) const fn polls_by_epoll(self) -> bool {
        self.at_least(10, 6)
    }

    const fn at_least(self, major: u16, minor: u16) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_frr_calls_itself() {
        assert_eq!(Release::parse("8.4.4"), Some(Release::new(8, 4)));
        assert_eq!(Release::parse("10.8-dev-MyOwnFRRVersion"), Some(Release::new(10, 8)));
        assert_eq!(Release::parse("10.3"), Some(Release::new(10, 3)));
        assert_eq!(Release::parse("ten"), None);
        assert_eq!(Release::parse("10."), None);
    }
}
