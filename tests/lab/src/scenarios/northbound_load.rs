//! A hub with 20,000 peers that register anew without a pause, and 100 clients that all want to see every one of them by
//! gRPC: each gets all, no registration gets lost, and nothing holds up the event loop. At the end the hub is stopped
//! while another hundred are waiting, and is gone at once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::shown::longest_turn;
use super::{Lab, REGISTER};
use crate::crowd::{Crowd, hub};
use crate::dmvpn::Shape;
use crate::failure::{Context, Result, ensure};
use crate::net::Node;

/// Spokes, how many ask in a second whatever the hub does, and how many times all of them: until the end and beyond.
const SPOKES: u32 = 20_000;
const RATE: u32 = 200;
const ROUNDS: u32 = 20;
/// Of such a round, on a machine that does other things as well.
const ROUND: Duration = Duration::from_secs(240);

const CLIENTS: usize = 100;
/// Longest time of all of them together: each document is made for its client alone, and has megabytes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was promised, above the longest turn in the same boot without any such client.
const LONGER_BY: Duration = Duration::from_millis(20);
/// How long that is measured.
const IDLE: Duration = Duration::from_secs(10);
/// From the signal to the end.
const END: Duration = Duration::from_secs(2);

const LISTEN: &[&str] = &["--grpc-listen", "unix:/run/frr/nhrpd.grpc"];

/// Prints how many bindings each client has seen, or what went wrong. What is to be served last: the promise is about
/// the daemon's time, not about a processor that others have.
const GETS: &str = r#"
get() {
    nice -n 19 /lab/bin/nhrpctl --grpc unix:/run/frr/nhrpd.grpc get /frr-interface:lib --state 2>&1 |
        nice -n 19 grep -c -e '"origin"' -e nhrpctl:
}
for client in $(seq 100); do get & done
wait
"#;

/// How long all clients took, each of which has seen as many bindings as there are.
fn everybody_gets(hub: &Node, bindings: usize) -> Result<Duration> {
    let began = Instant::now();
    hub.write_file("/run/gets.sh", GETS)?;
    let mut clients = hub.spawn("gets", &["bash", "/run/gets.sh"])?;
    while clients.ended().is_none() {
        ensure!(began.elapsed() < PATIENCE, "the clients are not done: {}", clients.output());
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = clients.output();
    let complete =
        said.lines().filter(|line| line.parse::<usize>().is_ok_and(|seen| seen >= bindings)).count();
    ensure!(complete == CLIENTS, "{complete} of {CLIENTS} clients have seen {bindings} bindings: {said}");
    Ok(began.elapsed())
}

/// Whether nhrpctl, and with it nhrpd, was built with gRPC: without, it does not get as far as looking for a daemon.
fn has_grpc() -> Result<bool> {
    let mut command = std::process::Command::new("/lab/bin/nhrpctl");
    let said = command.args(["--grpc", "unix:/nowhere", "get"]).output().context(|| "nhrpctl".to_owned())?;
    Ok(String::from_utf8_lossy(&said.stderr).contains("cannot reach"))
}

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    if !has_grpc()? {
        lab.skip("nhrpd was built without gRPC, for want of cmake or pcre2.h (apt-get install cmake make libpcre2-dev)");
        return Ok(());
    }
    let shape =
        Shape { spokes: 0, holdtime: 7200, redirect: false, nhrpd_options: LISTEN, ..Shape::default() };
    let mut dmvpn = lab.dmvpn(shape)?;
    dmvpn.finish(&[])?; // Registrations by the thousand are not worth capturing.
    let node = dmvpn.node("hub")?.clone();
    dmvpn.frr("hub")?.vtysh(&["configure terminal", "no debug nhrp common"])?;
    let options = [
        format!("--rate={RATE}"),
        format!("--rounds={ROUNDS}"),
        "--window=0".to_owned(),
        "--timeout=10000".to_owned(),
        "--holdtime=7200".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut crowd = Crowd::start(&mut dmvpn, SPOKES, &options)?;
    crowd.wait_complete(1, ROUND)?;
    let all = usize::try_from(SPOKES).unwrap_or(usize::MAX);
    let (idle, ()) = longest_turn(&node, || {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let (during, took) = longest_turn(&node, || everybody_gets(&node, all))?;
    let ms = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1e3);
    lab.note(format!(
        "longest turn {} without clients, {} with {CLIENTS} of them for {:.0} s",
        ms(idle),
        ms(during),
        took.as_secs_f64()
    ));
    ensure!(
        during < idle + LONGER_BY,
        "a turn of the loop took {}, without clients {}",
        ms(during),
        ms(idle)
    );

    crowd.none_lost(1, ROUND)?;
    let registered = hub::registered(&mut dmvpn)?;
    ensure!(registered == all, "{registered} of {SPOKES} are registered");
    dmvpn.all_alive()?;

    let _waiting = node.spawn("waiting", &["bash", "/run/gets.sh"])?;
    std::thread::sleep(REGISTER / 6);
    let began = Instant::now();
    dmvpn.frr("hub")?.stop_nhrpd(Signal::SIGTERM).context(|| "under load".to_owned())?;
    let ended = began.elapsed();
    lab.note(format!("ended {} after SIGTERM", ms(ended)));
    ensure!(ended < END, "the hub's nhrpd took {} to end", ms(ended));
    Ok(())
}
