//! A crowd in a scenario's network.
//!
//! Owns the node `crowd`. Never asserts what a scenario is about.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::spokes::Spokes;
use crate::dmvpn::{Dmvpn, nbma, overlay};
use crate::failure::{Result, ensure};
use crate::net::{Process, wait_until};

/// Network that holds every NBMA address of a crowd.
const NBMA_NETWORK: &str = "198.18.0.0/15";

/// The crowd's own address in the transport network, and the router's towards it.
const ADDRESS: &str = "192.0.2.254/30";
const GATEWAY: &str = "192.0.2.253";

/// A running crowd.
#[derive(Debug)]
pub(crate) struct Crowd {
    spokes: Spokes,
    process: Process,
}

impl Crowd {
    /// Adds the node `crowd` to a network and lets so many spokes register with the hub, with more options of
    /// `lab crowd` if need be.
    pub(crate) fn start(dmvpn: &mut Dmvpn, count: u32, options: &[&str]) -> Result<Self> {
        let spokes = Spokes { count, nbma: [198, 18, 0, 1].into(), overlay: [10, 254, 0, 1].into() };
        let node = dmvpn.add_host("crowd", ADDRESS, GATEWAY)?;
        node.sh(&format!("ip route add local {NBMA_NETWORK} dev lo"))?;
        let address = ADDRESS.split('/').next().unwrap_or_default();
        dmvpn.node("inet")?.sh(&format!("ip route add {NBMA_NETWORK} via {address}"))?;
        let words = [
            "/lab/bin/lab".to_owned(),
            "crowd".to_owned(),
            format!("--spokes={count}"),
            format!("--nbma={}", spokes.nbma),
            format!("--overlay={}", spokes.overlay),
            format!("--hub-nbma={}", nbma("hub")?),
            format!("--hub={}", overlay("hub")?),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        let process = node.spawn("crowd", &words)?;
        Ok(Self { spokes, process })
    }

    /// Waits until every spoke has its answer in a round, counted from 1; returns the generator's line about it.
    pub(crate) fn wait_complete(&mut self, round: u32, timeout: Duration) -> Result<String> {
        let complete = format!("round {round} complete");
        wait_until("every spoke to be answered", timeout, || {
            let said = self.process.output();
            if let Some(line) = said.lines().find(|line| line.starts_with(&complete)) {
                return Ok(line.to_owned());
            }
            Err(format!(
                "{} {}",
                said.lines().last().unwrap_or_default(),
                self.process.ended().unwrap_or_default()
            ))
        })
    }

    /// What the generator has said so far, a line a second and at the end of each round.
    pub(crate) fn said(&self) -> String {
        self.process.output()
    }

    /// Waits until so many more rounds are complete, all of which but one begin after this, and tells how many there are then.
    ///
    /// # Errors
    /// In some round a registration was refused, or a request had no answer.
    pub(crate) fn none_lost(&mut self, more: u32, timeout: Duration) -> Result<u32> {
        let complete = " complete in ";
        let rounds = u32::try_from(self.said().matches(complete).count()).unwrap_or_default() + more;
        self.wait_complete(rounds, timeout)?;
        let said = self.said();
        let lost = |line: &&str| !line.contains("(refused 0,") || !line.contains("unanswered 0)");
        let lost: Vec<&str> = said.lines().filter(|line| line.contains(complete)).filter(lost).collect();
        ensure!(lost.is_empty(), "registrations were lost: {lost:?}");
        Ok(rounds)
    }

    /// Overlay addresses of some spokes, spread over all.
    pub(crate) fn sample(&self, size: u32) -> Vec<Ipv4Addr> {
        self.spokes.sample(size).into_iter().map(|spoke| self.spokes.overlay(spoke)).collect()
    }
}
