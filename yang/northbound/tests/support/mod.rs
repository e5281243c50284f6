//! A daemon that is nothing but its configuration.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod steps;

use std::sync::LazyLock;

use nhrp_config::Config;
use nhrp_yang::state::{CacheEntry, InterfaceState, State};
use nhrp_yang::{Operation, Schema};
use northbound::{Datastores, Device, Gone, Limits, Refusal};

pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::load(None).unwrap());

/// What it was told is kept.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) config: Config,
    pub(crate) held: bool,
    pub(crate) applied: usize,
    pub(crate) executed: Vec<Operation>,
    pub(crate) now: i64,
    pub(crate) gone: bool,
}

impl Device for Fake {
    fn running(&mut self) -> Result<Config, Gone> {
        if self.gone { Err(Gone) } else { Ok(self.config.clone()) }
    }

    fn hold(&mut self, hold: bool) -> Result<(), Gone> {
        self.held = hold;
        Ok(())
    }

    fn apply(&mut self, config: &Config) -> Result<(), Refusal> {
        // By the same edits as the daemon.
        for edit in self.config.diff(config) {
            self.config.apply(&edit).map_err(|e| Refusal::Because(e.to_string()))?;
        }
        self.applied += 1;
        Ok(())
    }

    fn state(&mut self) -> Result<State, Gone> {
        let entry = CacheEntry {
            protocol_address: "10.0.0.2".parse().unwrap(),
            kind: "dynamic",
            origin: "registered",
            nbma_address: Some("192.0.2.2".parse().unwrap()),
            claimed_nbma_address: None,
            nat_nbma_address: None,
            up: true,
            reason: None,
            used: false,
            unique: true,
            mtu: None,
            age: 3,
            expires_in: Some(7197),
            identity: None,
        };
        let gre1 = InterfaceState { name: "gre1".into(), cache: vec![entry], ..InterfaceState::default() };
        Ok(State { interfaces: vec![gre1], ..State::default() })
    }

    fn execute(&mut self, operation: Operation) -> Result<Option<u32>, Gone> {
        self.executed.push(operation);
        Ok(Some(2))
    }

    fn now(&mut self) -> i64 {
        self.now
    }
}

pub(crate) fn stores() -> Datastores<'static, Fake> {
    Datastores::new(&SCHEMA, Fake::default(), Limits { candidates: 3, idle: 60 })
}

pub(crate) const GRE1: &str = "/frr-interface:lib/interface[name='gre1']";

pub(crate) fn below(path: &str) -> String {
    format!("{GRE1}/frr-nhrpd:nhrp/{path}")
}
