//! The commits of late. Owns their numbers; in memory, so that they begin anew with the daemon.

use std::collections::VecDeque;

use nhrp_config::Config;

/// As many as FRR keeps.
const KEPT: usize = 20;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// From 1.
    pub id: u32,
    /// Seconds since 1970.
    pub at: i64,
    /// Who committed, as far as that is known.
    pub client: String,
    /// The client's words.
    pub comment: String,
    /// What it left.
    pub(crate) config: Config,
}

impl Transaction {
    /// `YYYY-MM-DD HH:MM:SS`, in UTC as in FRR's database.
    #[must_use]
    pub fn date(&self) -> String {
        let at = chrono::DateTime::from_timestamp(self.at, 0).unwrap_or_default();
        at.format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// The ring of them.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: u32,
    kept: VecDeque<Transaction>,
}

impl History {
    pub(crate) fn add(&mut self, at: i64, client: String, comment: String, config: Config) -> u32 {
        // 0 is no transaction.
        self.last = self.last.checked_add(1).unwrap_or(1);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Transaction { id: self.last, at, client, comment, config });
        self.last
    }

    pub(crate) fn all(&self) -> Vec<Transaction> {
        self.kept.iter().cloned().collect()
    }

    pub(crate) fn config(&self, id: u32) -> Option<&Config> {
        self.kept.iter().find(|t| t.id == id).map(|t| &t.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_in_frr() {
        let transaction = Transaction {
            id: 1,
            at: 951_782_400,
            client: String::new(),
            comment: String::new(),
            config: Config::default(),
        };
        assert_eq!(transaction.date(), "2000-02-29 00:00:00");
    }

    #[test]
    fn only_the_last_twenty_are_kept() {
        let mut history = History::default();
        for n in 0..25 {
            assert_eq!(
                history.add(n, String::new(), n.to_string(), Config::default()),
                u32::try_from(n).unwrap() + 1
            );
        }
        let ids: Vec<u32> = history.all().iter().map(|t| t.id).collect();
        assert_eq!(ids, (6..=25).collect::<Vec<u32>>());
        assert!(history.config(5).is_none() && history.config(6).is_some());
    }
}
