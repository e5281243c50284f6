//! `nhrp event socket`: the hub asks a program about each client, octet for octet as FRR's does, and uses the bindings
//! that it accepts.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Lab, REGISTER, RESOLVE};
use crate::dmvpn::{Dmvpn, Shape, nbma, overlay};
use crate::event_reader::field;
use crate::failure::{Context, Result, ensure};
use crate::net::{Process, wait_until};

const SOCKET: &str = "/run/frr/events";
const LOG: &str = "/run/frr/events.log";
/// A third of it between renewals.
const HOLDTIME: u16 = 12;
/// FRR's nhrpd tries again after 10 s at the latest, then a client has to come by.
const AGAIN: Duration = Duration::from_secs(10 + HOLDTIME as u64 / 3 + 10);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape { holdtime: HOLDTIME, ..Shape::default() })?;
    dmvpn.wait_registered(REGISTER)?;
    let mut reader = reader(&dmvpn, &["s1"])?;
    let line = format!("nhrp event socket {SOCKET}");
    dmvpn.frr("hub")?.vtysh(&["configure terminal", &line])?;
    let stored = dmvpn.frr("hub")?.vtysh(&["show running-config"])?;
    ensure!(
        stored.lines().any(|stored| stored == line),
        "not in the running configuration: {line}\n{stored}"
    );
    wait_until("the hub at the event socket", AGAIN, || connected(&dmvpn))?;

    // Who is registered already is not asked about. The rest of the story begins with an empty hub.
    dmvpn.frr("hub")?.vtysh(&["clear ip nhrp cache"])?;
    dmvpn.wait_spoke_registered("s1", AGAIN)?;
    wait_until("s2 to be asked about twice, in vain", AGAIN, || match asked(&dmvpn, "s2") {
        Ok(questions) if questions.len() >= 2 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    ensure!(dmvpn.registration("s2")?.is_none(), "the hub uses what was rejected");
    let questions = asked(&dmvpn, "s1")?;
    let [question] = &questions[..] else {
        return Err(crate::failure::Failure::new(format!("not one question about s1: {questions:#?}")));
    };
    let event = field(question, "eventid").context(|| format!("no eventid: {question}"))?;
    let expected = expected(event)?;
    ensure!(*question == expected, "asked was\n{question}expected\n{expected}");

    // The program is replaced by one that knows s2 as well.
    reader.stop(Signal::SIGKILL, RESOLVE)?;
    let _reader = self::reader(&dmvpn, &["s1", "s2"])?;
    dmvpn.wait_spoke_registered("s2", AGAIN)?;
    ensure!(dmvpn.registration("s1")?.is_some(), "s1 was forgotten because the program was away");
    dmvpn.all_alive()
}

fn reader(dmvpn: &Dmvpn, accept: &[&str]) -> Result<Process> {
    let mut words = vec!["/lab/bin/lab".to_owned(), "event-reader".to_owned()];
    words.extend([format!("--socket={SOCKET}"), format!("--log={LOG}")]);
    for spoke in accept {
        words.push(format!("--accept={}", overlay(spoke)?));
    }
    let hub = dmvpn.node("hub")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let process = hub.spawn("event-reader", &words)?;
    wait_until("the program to listen", RESOLVE, || match hub.listens(SOCKET) {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(process)
}

fn connected(dmvpn: &Dmvpn) -> std::result::Result<(), String> {
    let words = format!("ss -xH state established src {SOCKET}");
    match dmvpn.node("hub").and_then(|hub| hub.sh(&words)) {
        Ok(seen) if !seen.trim().is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Questions about a spoke, whole.
fn asked(dmvpn: &Dmvpn, spoke: &str) -> Result<Vec<String>> {
    let (text, about) = (dmvpn.node("hub")?.read_file(LOG)?, overlay(spoke)?.to_string());
    let questions = text.split_inclusive("\n\n").filter(|question| question.ends_with("\n\n"));
    Ok(questions.filter(|q| field(q, "remote_addr") == Some(&about)).map(str::to_owned).collect())
}

/// What FRR's nhrpd writes about s1.
fn expected(event: &str) -> Result<String> {
    let (own, own_nbma) = (overlay("hub")?, nbma("hub")?);
    let (station, station_nbma) = (overlay("s1")?, nbma("s1")?);
    Ok(format!(
        "eventid={event}\nevent=authorize-binding\ntype=dynamic\nold_type=invalid\nnum_nhs=0\ninterface=gre1\n\
         local_addr={own}\nvc_initiated=no\nlocal_nbma={own_nbma}\nlocal_cert=\n\
         remote_addr={station}\nremote_nbma={station_nbma}\nremote_cert=\n\n"
    ))
}
