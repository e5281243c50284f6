//! The matched words of a command, by name, for the builders of the table. Converts; decides nothing.

use std::net::IpAddr;
use std::str::FromStr;

use nhrp_config::{Afi, Edit, InterfaceEdit};

use super::matcher::Step;
use super::{Action, Context};
use crate::{Command, LogLevel};

/// Matched words and where they were typed.
pub(super) struct Args<'a> {
    steps: &'a [Step],
    context: &'a Context<'a>,
}

impl<'a> Args<'a> {
    pub(super) fn new(steps: &'a [Step], context: &'a Context<'a>) -> Self {
        Self { steps, context }
    }

    /// The word captured as `name`: a keyword in full, anything else as typed.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.steps.iter().find(|step| step.name() == name).map(|step| step.value.as_str())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// This keyword is part of the line.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.steps.iter().any(|step| step.is_keyword(keyword))
    }

    /// The line began without `no`.
    pub(super) fn is_set(&self) -> bool {
        !self.has("no")
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        self.get(name)?.parse().ok()
    }

    /// `<ip|ipv6>$afi`
    pub(super) fn afi(&self) -> Option<Afi> {
        match self.get("afi")? {
            "ip" => Some(Afi::Ip),
            "ipv6" => Some(Afi::Ipv6),
            _ => None,
        }
    }

    /// `$level`, or FRR's default.
    pub(super) fn level(&self) -> LogLevel {
        self.get("level").and_then(LogLevel::from_word).unwrap_or(LogLevel::Debugging)
    }

    /// All matched words from the one captured as `name` on, keywords in full.
    pub(super) fn words_from(&self, name: &str) -> String {
        let words = self.steps.iter().skip_while(|step| step.name() != name).map(|step| step.value.as_str());
        words.collect::<Vec<_>>().join(" ")
    }

    /// A change of the interface of this node.
    pub(super) fn interface_edit(&self, edit: InterfaceEdit) -> Option<Action> {
        let name = self.context.interface?.to_owned();
        Some(Action::Command(Command::Edit(Edit::Interface { name, edit })))
    }
}
