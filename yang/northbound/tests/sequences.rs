//! After any sequence of edits and commits, what runs is what its own text says, read back by the command line's
//! reader; and whatever was refused has changed nothing.
#![cfg(feature = "datastores")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use nhrp_config::{Config, RenderOptions};
use northbound::{Code, Phase};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{GRE1, below, stores};
use vtysh_plugin::{Command, Handler, Reply, read_config};

/// Reads a file and keeps it.
struct Reader(Config);

impl Handler for Reader {
    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Edit(edit) => self.0.apply(&edit).into(),
            _ => Reply::ok(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, String),
    Remove(String),
    Commit(Phase),
    Anew,
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("dynamic".to_owned()),
        Just("nhs".to_owned()),
        Just("local".to_owned()),
        Just("strict".to_owned()),
        Just("ipv6".to_owned()),
        Just("all".to_owned()),
        Just("opennhrp".to_owned()),
        Just(String::new()),
        (0u32..70_000).prop_map(|n| n.to_string()),
        "[ -~ä\u{1}]{1,9}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let family = prop_oneof![Just("ipv4"), Just("ipv6")];
    let leaf = prop_oneof![
        Just("network-id".to_owned()),
        Just("holdtime".to_owned()),
        Just("mtu".to_owned()),
        Just("shortcut".to_owned()),
        Just("redirect".to_owned()),
        Just("registration-no-unique".to_owned()),
        Just("registration-unique".to_owned()),
        Just("multicast".to_owned()),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']")),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']/protocol-address")),
        "[a-c]".prop_map(|n| format!("nhs[nbma='{n}']/priority")),
        (1u8..3).prop_map(|n| format!("map[protocol-address='10.0.0.{n}']/nbma")),
        (1u8..3).prop_map(|n| format!("map[protocol-address='2001:db8::{n}']/nbma")),
    ];
    prop_oneof![
        6 => (family, leaf).prop_map(|(family, leaf)| below(&format!("{family}/{leaf}"))),
        1 => Just(below("authentication/secret")),
        1 => Just(below("authentication/configured-under")),
        1 => Just(below("authentication")),
        1 => Just(below("tunnel/source")),
        1 => Just(below("tunnel/protection")),
        1 => Just(below("tunnel/protection/profile")),
        1 => Just(below("tunnel/protection/fallback-profile")),
        1 => Just(format!("{GRE1}/description")),
        1 => Just(GRE1.to_owned()),
        1 => Just("/frr-nhrpd:nhrp/event-socket".to_owned()),
        1 => Just("/frr-nhrpd:nhrp/nflog-group".to_owned()),
        1 => Just("/frr-nhrpd:nhrp/debug".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let phase = prop_oneof![
        3 => Just(Phase::All),
        1 => Just(Phase::Validate),
        1 => Just(Phase::Prepare),
        1 => Just(Phase::Apply),
        1 => Just(Phase::Abort),
    ];
    prop_oneof![
        8 => (path(), value()).prop_map(|(path, value)| Step::Set(path, value)),
        2 => path().prop_map(Step::Remove),
        3 => phase.prop_map(Step::Commit),
        1 => Just(Step::Anew),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_runs_is_what_its_text_says(steps in vec(step(), 1..40)) {
        let mut stores = stores();
        let mut id = stores.create_candidate().unwrap();
        for step in steps {
            let before = stores.device().config.clone();
            let applied = stores.device().applied;
            let result = match step {
                Step::Set(path, value) => stores.edit_candidate(id, &[(path, value)], &[]),
                Step::Remove(path) => stores.edit_candidate(id, &[], &[path]),
                Step::Commit(phase) => stores.commit(id, phase, "").map(drop),
                Step::Anew => {
                    stores.delete_candidate(id).unwrap();
                    id = stores.create_candidate().unwrap();
                    Ok(())
                }
            };
            if let Err(fault) = &result {
                prop_assert_ne!(fault.code, Code::Internal, "{}", fault);
            }
            if stores.device().applied == applied {
                prop_assert_eq!(&stores.device().config, &before);
                continue;
            }
            let running = stores.device().config.clone();
            let text = running.render(&RenderOptions::FULL);
            let mut reader = Reader(Config::default());
            let errors = read_config(&text, &mut reader);
            prop_assert!(errors.is_empty(), "{:?}\n{}", errors, text);
            prop_assert_eq!(reader.0.render(&RenderOptions::FULL), text);
            // Sections without a line are not written.
            let written = Config {
                interfaces: running.interfaces.into_iter().filter(|(_, i)| *i != Default::default()).collect(),
                ..running
            };
            prop_assert_eq!(Config { debug: written.debug, ..reader.0 }, written);
        }
    }
}
