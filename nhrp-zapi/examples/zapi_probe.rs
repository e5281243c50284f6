//! Talks to a zebra: prints each event as a line and sends the requests named on the command line, anew after each
//! `Synced`, as the daemon does.
//!
//!     zapi_probe [--zebra-release R] [--for SECONDS] [--until-synced] SOCKET [STEP …]
//!
//! Each STEP is one argument. Interfaces are named; zebra tells their indexes.
//!
//!     "route PREFIX dev IF [mtu N] [override]"    "route PREFIX via ADDRESS dev IF"    "route PREFIX blackhole"
//!     "unroute PREFIX"    "neigh ADDRESS NBMA dev IF"    "unneigh ADDRESS dev IF"
//!     "arp dev IF"  (SET_ARP where the release has it, and CONFIGURE_ARP)    "gre dev IF"    "wait SECONDS"
//!
//! Lines begin with the name of the event. At the end it says farewell, whereupon zebra removes the routes, and
//! prints `Statistics`. The exit status is 0 if a session was open at the end, 1 if not, 2 for a wrong command line.

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use nhrp_zapi::{Afi, Event, Options, Request, Route, RouteNexthop, ZebraClient};
use tokio::time::{Instant, sleep_until};

/// Indexes by name, as zebra tells them.
type Interfaces = HashMap<String, u32>;

enum Step {
    Send(Vec<Request>),
    Wait(Duration),
}

struct Arguments {
    options: Options,
    duration: Duration,
    until_synced: bool,
    steps: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let (mut forced_release, mut duration, mut until_synced) = (None, Duration::from_secs(10), false);
    let mut socket = None;
    let mut steps = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--zebra-release" => forced_release = Some(value(words.next().as_deref(), "a release")?),
            "--for" => duration = seconds(words.next().as_deref())?,
            "--until-synced" => until_synced = true,
            _ if socket.is_none() => socket = Some(word),
            _ => steps.push(word),
        }
    }
    let socket = socket.ok_or("zebra's socket is missing")?;
    Ok(Arguments {
        options: Options { forced_release, ..Options::new(socket) },
        duration,
        until_synced,
        steps,
    })
}

fn value<T: FromStr>(word: Option<&str>, what: &str) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{what} is missing"))?;
    word.parse().map_err(|_| format!("`{word}` is not {what}"))
}

fn seconds(word: Option<&str>) -> Result<Duration, String> {
    let seconds: f64 = value(word, "a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn dev<'a>(words: &mut impl Iterator<Item = &'a str>, interfaces: &Interfaces) -> Result<u32, String> {
    match (words.next(), words.next()) {
        (Some("dev"), Some(name)) => {
            interfaces.get(name).copied().ok_or_else(|| format!("zebra knows no interface {name}"))
        }
        _ => Err("`dev IF` is missing".to_owned()),
    }
}

fn step(text: &str, interfaces: &Interfaces, set_arp: bool) -> Result<Step, String> {
    let mut words = text.split_whitespace();
    let words = &mut words;
    let request = match words.next().unwrap_or_default() {
        "route" => {
            let prefix = value(words.next(), "a prefix")?;
            let mut rest = words.clone();
            let nexthop = match rest.next() {
                Some("blackhole") => RouteNexthop::Blackhole,
                Some("via") => RouteNexthop::Gateway {
                    addr: value(rest.next(), "a gateway")?,
                    ifindex: Some(dev(&mut rest, interfaces)?),
                },
                _ => {
                    rest = words.clone();
                    RouteNexthop::Interface { ifindex: dev(&mut rest, interfaces)? }
                }
            };
            let mut route = Route::new(prefix, nexthop);
            while let Some(word) = rest.next() {
                match word {
                    "mtu" => route.mtu = Some(value(rest.next(), "an MTU")?),
                    "override" => route.fib_override = true,
                    other => return Err(format!("`{other}` is no option of a route")),
                }
            }
            Request::RouteAdd(route)
        }
        "unroute" => Request::RouteDelete(value(words.next(), "a prefix")?),
        "neigh" => Request::NeighAdd {
            protocol: value(words.next(), "an address")?,
            nbma: value(words.next(), "an IPv4 address")?,
            ifindex: dev(words, interfaces)?,
        },
        "unneigh" => Request::NeighDelete {
            protocol: value(words.next(), "an address")?,
            ifindex: dev(words, interfaces)?,
        },
        "arp" => {
            let ifindex = dev(words, interfaces)?;
            let mut requests = vec![Request::ConfigureArp { ifindex, family: Afi::Ip }];
            if set_arp {
                requests.insert(0, Request::SetArp { ifindex, enable: true });
            }
            return Ok(Step::Send(requests));
        }
        "gre" => Request::GreGet { ifindex: dev(words, interfaces)? },
        "wait" => return seconds(words.next()).map(Step::Wait),
        other => return Err(format!("`{other}` is no step")),
    };
    Ok(Step::Send(vec![request]))
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    let mut client = ZebraClient::new(arguments.options.clone());
    let end = Instant::now() + arguments.duration;
    let mut interfaces = Interfaces::new();
    let mut steps: VecDeque<&String> = VecDeque::new();
    let mut due = Instant::now();
    let mut open = false;
    loop {
        tokio::select! {
            event = client.next() => {
                println!("{event:?}");
                match event {
                    Event::Interface(interface) => {
                        interfaces.insert(interface.name, interface.ifindex);
                    }
                    Event::InterfaceDeleted(gone) => {
                        interfaces.remove(&gone.name);
                    }
                    Event::Synced => {
                        open = true;
                        if arguments.until_synced {
                            break;
                        }
                        due = Instant::now();
                        steps = arguments.steps.iter().collect();
                    }
                    Event::Disconnected { .. } => {
                        open = false;
                        steps.clear();
                    }
                    _ => {}
                }
            }
            () = sleep_until(due), if !steps.is_empty() => {
                if let Some(text) = steps.pop_front() {
                    let set_arp = client.table().is_some_and(nhrp_zapi::ReleaseTable::has_set_arp);
                    match step(text, &interfaces, set_arp)? {
                        Step::Send(requests) => requests.into_iter().for_each(|request| client.send(request)),
                        Step::Wait(pause) => due = Instant::now() + pause,
                    }
                }
            }
            () = sleep_until(end) => break,
        }
    }
    client.close().await;
    for (command, received, sent) in client.statistics().by_command() {
        println!("Statistics {command:?} received {received} sent {sent}");
    }
    Ok(open)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match arguments() {
        Ok(arguments) => run(&arguments).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("zapi_probe: {error}");
            ExitCode::from(2)
        }
    }
}
