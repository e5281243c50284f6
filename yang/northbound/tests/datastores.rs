//! What each call does, with the codes and texts of FRR.
#![cfg(feature = "datastores")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use nhrp_config::Afi;
use nhrp_yang::{ClearTable, Format, Operation, Which, WithDefaults};
use northbound::{Code, Datastores, Fault, Phase, What};
use support::{Fake, GRE1, below, stores};

type Stores = Datastores<'static, Fake>;

fn set(stores: &mut Stores, id: u32, edits: &[(&str, &str)]) -> Result<(), Fault> {
    let update: Vec<_> = edits.iter().map(|(path, value)| (below(path), (*value).to_owned())).collect();
    stores.edit_candidate(id, &update, &[])
}

fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> (Code, String) {
    let fault = result.unwrap_err();
    (fault.code, fault.text)
}

/// A candidate with one change.
fn changed(stores: &mut Stores, network_id: &str) -> u32 {
    let id = stores.create_candidate().unwrap();
    set(stores, id, &[("ipv4/network-id", network_id)]).unwrap();
    id
}

#[test]
fn a_spoke_is_configured() {
    let mut stores = stores();
    let id = stores.create_candidate().unwrap();
    assert_eq!(id, 1);
    stores.edit_candidate(id, &[(GRE1.to_owned(), String::new())], &[]).unwrap();
    let edits = [
        ("tunnel/source", "eth0"),
        ("ipv4/network-id", "1"),
        ("ipv4/holdtime", "300"),
        ("ipv4/shortcut", "true"),
        ("ipv4/nhs[nbma='hub.example.com']/protocol-address", "10.255.255.1"),
        ("ipv4/multicast[.='192.0.2.1']", ""),
    ];
    set(&mut stores, id, &edits).unwrap();
    assert_eq!(stores.device().applied, 0);
    assert_eq!(stores.commit(id, Phase::Validate, ""), Ok(None));
    assert_eq!(stores.device().applied, 0);
    assert_eq!(stores.commit(id, Phase::All, "first"), Ok(Some(1)));
    let text = stores.device().config.render_interface("gre1", &nhrp_config::RenderOptions::FULL);
    assert_eq!(
        text,
        "interface gre1\n tunnel source eth0\n ip nhrp network-id 1\n ip nhrp holdtime 300\n ip nhrp shortcut\n \
         ip nhrp nhs 10.255.255.1 nbma hub.example.com\n ip nhrp map multicast 192.0.2.1\nexit\n!\n"
    );
    let nothing = fault(stores.commit(id, Phase::All, ""));
    assert_eq!(
        nothing,
        (Code::Aborted, "No changes to apply were found during preparation phase".to_owned())
    );
    let list = stores.transactions();
    assert_eq!((list.len(), list[0].id, list[0].comment.as_str()), (1, 1, "first"));
    let left = stores.transaction(1, Format::Json, WithDefaults::Trim).unwrap();
    assert!(left.contains("\"source\": \"eth0\""), "{left}");
    assert_eq!(
        fault(stores.transaction(2, Format::Json, WithDefaults::Trim)),
        (Code::InvalidArgument, "Transaction not found".to_owned())
    );
}

#[test]
fn unknown_candidates() {
    let mut stores = stores();
    let expected = (Code::NotFound, "candidate configuration not found".to_owned());
    assert_eq!(fault(stores.delete_candidate(1)), expected);
    assert_eq!(fault(stores.update_candidate(1)), expected);
    assert_eq!(fault(stores.edit_candidate(1, &[], &[])), expected);
    assert_eq!(fault(stores.load_to_candidate(1, "{}", Format::Json, true)), expected);
    for phase in [Phase::Validate, Phase::Prepare, Phase::Abort, Phase::Apply, Phase::All] {
        assert_eq!(fault(stores.commit(1, phase, "")), expected);
    }
    let id = stores.create_candidate().unwrap();
    stores.delete_candidate(id).unwrap();
    assert_eq!(fault(stores.delete_candidate(id)), expected);
    assert_eq!(stores.create_candidate(), Ok(2), "numbers are not used again");
}

#[test]
fn an_edit_is_done_whole_or_not_at_all() {
    let mut stores = stores();
    let id = stores.create_candidate().unwrap();
    let refused = fault(set(&mut stores, id, &[("ipv4/network-id", "1"), ("ipv4/holdtime", "0")]));
    assert_eq!(refused.0, Code::InvalidArgument);
    let text = format!("Failed to update \"{}\"", below("ipv4/holdtime"));
    assert!(refused.1.starts_with(&text), "{}", refused.1);
    let refused =
        fault(stores.edit_candidate(id, &[(below("ipv4/network-id"), "1".into())], &[below("ipv6/nhs")]));
    let text = format!("Failed to remove \"{}\"", below("ipv6/nhs"));
    assert!(refused.0 == Code::InvalidArgument && refused.1.starts_with(&text), "{}", refused.1);
    // Neither has left anything.
    assert_eq!(fault(stores.commit(id, Phase::All, "")).0, Code::Aborted);
}

#[test]
fn what_is_not_valid_changes_nothing() {
    let mut stores = stores();
    for (edits, named) in [
        (
            &[
                ("ipv4/nhs[nbma='a']/protocol-address", "10.0.0.1"),
                ("ipv4/nhs[nbma='b']/protocol-address", "10.0.0.1"),
            ][..],
            "same protocol address",
        ),
        (&[("tunnel/protection/fallback-profile", "b")][..], "profile"),
        (&[("authentication/secret", "äöüäöü")][..], "gre1"),
    ] {
        let id = stores.create_candidate().unwrap();
        set(&mut stores, id, edits).unwrap();
        for phase in [Phase::Validate, Phase::Prepare, Phase::All] {
            let (code, text) = fault(stores.commit(id, phase, ""));
            assert!(code == Code::InvalidArgument && text.contains(named), "{code:?} {text}");
        }
        stores.delete_candidate(id).unwrap();
    }
    let id = stores.create_candidate().unwrap();
    let elsewhere = [("/frr-host:host/allow-reserved-ranges".to_owned(), "true".to_owned())];
    stores.edit_candidate(id, &elsewhere, &[]).unwrap();
    let (code, text) = fault(stores.commit(id, Phase::All, ""));
    assert!(code == Code::InvalidArgument && text.contains("/frr-host:host"), "{text}");
    assert_eq!((stores.device().applied, stores.device().held), (0, false));
}

#[test]
fn two_phases() {
    let mut stores = stores();
    let none = (Code::FailedPrecondition, "no transaction in progress".to_owned());
    let (first, second) = (changed(&mut stores, "1"), changed(&mut stores, "2"));
    assert_eq!(fault(stores.commit(first, Phase::Apply, "")), none);
    assert_eq!(fault(stores.commit(first, Phase::Abort, "")), none);
    assert_eq!(stores.commit(first, Phase::Prepare, "two"), Ok(None));
    assert!(stores.device().held);
    let middle = (Code::FailedPrecondition, "candidate is in the middle of a transaction".to_owned());
    assert_eq!(fault(stores.commit(first, Phase::Prepare, "")), middle);
    assert_eq!(fault(stores.commit(first, Phase::All, "")), middle);
    assert_eq!(fault(stores.update_candidate(first)), middle);
    let other = (Code::Unavailable, "there's already another transaction in progress".to_owned());
    assert_eq!(fault(stores.commit(second, Phase::Prepare, "")), other);
    assert_eq!(fault(stores.commit(second, Phase::All, "")), other);
    assert_eq!(fault(stores.commit(second, Phase::Apply, "")), none);
    // What was prepared is what is applied.
    set(&mut stores, first, &[("ipv4/network-id", "3")]).unwrap();
    assert_eq!(stores.commit(first, Phase::Apply, ""), Ok(Some(1)));
    assert_eq!(stores.device().config.interfaces["gre1"].ip.network_id, 1);
    assert!(!stores.device().held);
    assert_eq!(stores.transactions()[0].comment, "two");
    assert_eq!(fault(stores.commit(first, Phase::Apply, "")), none, "once");
    assert_eq!(stores.commit(second, Phase::Prepare, ""), Ok(None));
    assert_eq!(stores.commit(second, Phase::Abort, ""), Ok(None));
    assert_eq!(fault(stores.commit(second, Phase::Abort, "")), none);
    assert_eq!(stores.device().config.interfaces["gre1"].ip.network_id, 1);
    assert_eq!(stores.commit(second, Phase::Prepare, ""), Ok(None));
    stores.delete_candidate(second).unwrap();
    assert!(!stores.device().held, "a transaction ends with its candidate");
}

#[test]
fn the_lock_and_transactions_hold_together() {
    let mut stores = stores();
    let not_locked = (Code::FailedPrecondition, "failed to unlock the running configuration".to_owned());
    assert_eq!(fault(stores.unlock()), not_locked);
    stores.lock().unwrap();
    assert_eq!(
        fault(stores.lock()),
        (Code::FailedPrecondition, "running configuration is locked already".to_owned())
    );
    let id = changed(&mut stores, "1");
    stores.commit(id, Phase::Prepare, "").unwrap();
    stores.unlock().unwrap();
    assert!(stores.device().held, "a transaction is open");
    stores.lock().unwrap();
    stores.commit(id, Phase::Apply, "").unwrap();
    assert!(stores.device().held, "it is locked");
    stores.unlock().unwrap();
    assert!(!stores.device().held);
    assert_eq!(fault(stores.unlock()), not_locked);
}

#[test]
fn a_candidate_is_put_over_what_was_changed_meanwhile() {
    let mut stores = stores();
    let id = changed(&mut stores, "1");
    let typed = nhrp_config::Edit::Interface {
        name: "gre1".into(),
        edit: nhrp_config::InterfaceEdit::Holdtime(Afi::Ip, 60),
    };
    stores.device().config.apply(&typed).unwrap();
    stores.update_candidate(id).unwrap();
    stores.commit(id, Phase::All, "").unwrap();
    let gre1 = &stores.device().config.interfaces["gre1"];
    assert_eq!((gre1.ip.network_id, gre1.ip.holdtime), (1, 60));
}

#[test]
fn documents_are_merged_or_take_the_place() {
    let mut stores = stores();
    let id = changed(&mut stores, "1");
    let xml = "<lib xmlns=\"http://frrouting.org/yang/interface\"><interface><name>gre2</name>\
               <description>second</description></interface></lib>";
    stores.load_to_candidate(id, xml, Format::Xml, false).unwrap();
    stores.commit(id, Phase::All, "").unwrap();
    assert_eq!(stores.device().config.interfaces.keys().collect::<Vec<_>>(), ["gre1", "gre2"]);
    // Unknown nodes are passed over, as in FRR.
    let json = "{\"frr-interface:lib\":{\"interface\":[{\"name\":\"gre2\",\"unheard-of\":1}]},\"x:y\":{}}";
    stores.load_to_candidate(id, json, Format::Json, true).unwrap();
    stores.commit(id, Phase::All, "").unwrap();
    let interfaces = &stores.device().config.interfaces;
    assert_eq!(interfaces.keys().collect::<Vec<_>>(), ["gre2"]);
    assert_eq!(interfaces["gre2"].description, None);
    for broken in ["{", "[]", "{\"frr-nhrpd:nhrp\":{\"nflog-group\":\"x\"}}", "\0"] {
        let (code, text) = fault(stores.load_to_candidate(id, broken, Format::Json, false));
        assert!(code == Code::Internal && text.starts_with("Failed to parse the configuration"), "{text}");
    }
}

#[test]
fn data_are_given_with_what_is_above_them() {
    let mut stores = stores();
    let id = changed(&mut stores, "1");
    stores.commit(id, Phase::All, "").unwrap();
    let mut get = |path: &str, what| stores.get(path, what, Format::Json, WithDefaults::Trim);
    let value = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let of_gre1 = |nhrp: serde_json::Value| serde_json::json!({"frr-interface:lib": {"interface": [{"name": "gre1", "frr-nhrpd:nhrp": nhrp}]}});
    let configured = of_gre1(serde_json::json!({"ipv4": {"network-id": 1}}));
    for path in ["", "/", "/frr-interface:lib", GRE1, &below("ipv4"), &below("ipv4/network-id")] {
        assert_eq!(value(get(path, What::Config).unwrap()), configured, "{path}");
    }
    let known = value(get(&below("state"), What::State).unwrap());
    let entry = &known["frr-interface:lib"]["interface"][0]["frr-nhrpd:nhrp"]["state"]["cache"][0];
    assert_eq!((&entry["protocol-address"], &entry["age"]), (&"10.0.0.2".into(), &3.into()));
    let both = value(get(GRE1, What::All).unwrap());
    let nhrp = &both["frr-interface:lib"]["interface"][0]["frr-nhrpd:nhrp"];
    assert!(nhrp["ipv4"]["network-id"] == 1 && nhrp["state"]["cache"][0]["type"] == "dynamic", "{both}");
    for path in
        ["/frr-interface:lib/interface[name='gre2']", "/frr-interface:lib/interface", "/x:y", "x", "/\0"]
    {
        let (code, text) = fault(get(path, What::Config));
        assert!(code == Code::InvalidArgument && text.starts_with("Data path not found"), "{path} {text}");
    }
    let (code, text) = fault(get("/x:y", What::State));
    assert!(code == Code::InvalidArgument && text.starts_with("Failed to fetch operational data"), "{text}");
}

#[test]
fn defaults_are_told_if_wanted() {
    let mut stores = stores();
    let id = changed(&mut stores, "1");
    stores.commit(id, Phase::All, "").unwrap();
    let all = stores.get(&below("ipv4"), What::Config, Format::Json, WithDefaults::All).unwrap();
    assert!(all.contains("\"holdtime\": 7200"), "{all}");
    let trimmed = stores.get(&below("ipv4"), What::Config, Format::Xml, WithDefaults::Trim).unwrap();
    assert!(!trimmed.contains("holdtime") && trimmed.contains("<network-id>1</network-id>"), "{trimmed}");
}

#[test]
fn candidates_are_limited_and_idle_ones_go() {
    let mut stores = stores();
    for id in 1..=3 {
        assert_eq!(stores.create_candidate(), Ok(id));
    }
    let (code, text) = fault(stores.create_candidate());
    assert!(
        code == Code::ResourceExhausted && text.starts_with("Can't create candidate configuration"),
        "{text}"
    );
    set(&mut stores, 1, &[("ipv4/network-id", "1")]).unwrap();
    stores.commit(1, Phase::Prepare, "").unwrap();
    stores.device().now = 30;
    stores.update_candidate(2).unwrap();
    stores.device().now = 61;
    assert_eq!(stores.create_candidate(), Ok(4), "in place of the third");
    assert_eq!(fault(stores.update_candidate(3)).0, Code::NotFound);
    stores.update_candidate(2).unwrap();
    stores.commit(1, Phase::Apply, "").unwrap();
}

#[test]
fn actions() {
    let mut stores = stores();
    let clear = "/frr-nhrpd:clear-nhrp-cache";
    let input = [("family".to_owned(), "ipv6".to_owned()), (format!("{clear}/interface"), "gre1".to_owned())];
    let output = stores.execute(clear, &input).unwrap();
    assert_eq!(output, [(format!("{clear}/cleared"), "2".to_owned())]);
    assert_eq!(
        stores.device().executed,
        [Operation::Clear {
            table: ClearTable::Cache,
            family: Some(Afi::Ipv6),
            which: Which::Interface("gre1".into())
        }]
    );
    let refused = |stores: &mut Stores, path: &str, input: &[(&str, &str)]| {
        let input: Vec<_> = input.iter().map(|(p, v)| ((*p).to_owned(), (*v).to_owned())).collect();
        let (code, text) = fault(stores.execute(path, &input));
        assert_eq!(code, Code::InvalidArgument);
        text
    };
    assert_eq!(refused(&mut stores, "", &[]), "Data path is empty");
    assert!(refused(&mut stores, "/frr-nhrpd:nhrp", &[]).starts_with("Invalid data path"));
    assert!(refused(&mut stores, "/frr-nhrpd:reboot", &[]).starts_with("Unknown data path"));
    for (path, value) in [
        ("family", "ipv5"),
        ("unheard-of", "1"),
        ("/frr-nhrpd:nhrp/nflog-group", "1"),
        ("/frr-nhrpd:clear-nhrp-shortcut/family", "ipv4"),
    ] {
        let text = refused(&mut stores, clear, &[(path, value)]);
        assert!(text.starts_with("Invalid input data") && text.contains(path), "{text}");
    }
    let two = refused(&mut stores, clear, &[("peer", "10.0.0.1"), ("interface", "gre1")]);
    assert!(two.starts_with("Invalid input data"), "{two}");
    assert_eq!(stores.device().executed.len(), 1);
}

#[test]
fn a_daemon_that_ends() {
    let mut stores = stores();
    stores.device().gone = true;
    assert_eq!(
        fault(stores.create_candidate()),
        (Code::Unavailable, "the daemon is shutting down".to_owned())
    );
}
