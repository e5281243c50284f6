//! Sequences of edits and commits, and what must hold after each of them; shared with `tests/fuzz`.

use nhrp_config::{Config, RenderOptions};
use nhrp_yang::Format;
use northbound::{Code, Phase};
use vtysh_plugin::{Command, Handler, Reply, read_config};

use super::stores;

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

/// A call.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// This is to be there.
    Set(String, String),
    /// This is not.
    Remove(String),
    /// A document, into the candidate or in its place.
    Load { text: String, format: Format, replace: bool },
    /// A phase of a commit.
    Commit(Phase),
    /// A new candidate.
    Anew,
}

/// Takes the steps: what was refused has changed nothing, and what runs is what its own text says, read back by the
/// command line's reader. Returns the texts of what ran.
///
/// # Panics
/// When that does not hold.
pub(crate) fn check(steps: impl IntoIterator<Item = Step>) -> Vec<String> {
    let mut stores = stores();
    let mut id = stores.create_candidate().unwrap();
    let mut texts = Vec::new();
    for step in steps {
        let before = stores.device().config.clone();
        let applied = stores.device().applied;
        let is_load = matches!(step, Step::Load { .. });
        let result = match step {
            Step::Set(path, value) => stores.edit_candidate(id, &[(path, value)], &[]),
            Step::Remove(path) => stores.edit_candidate(id, &[], &[path]),
            Step::Load { text, format, replace } => stores.load_to_candidate(id, &text, format, replace),
            Step::Commit(phase) => stores.commit(id, phase, "").map(drop),
            Step::Anew => {
                stores.delete_candidate(id).unwrap();
                id = stores.create_candidate().unwrap();
                Ok(())
            }
        };
        if let Err(fault) = &result {
            // FRR's code for a document that is not valid.
            assert!(fault.code != Code::Internal || is_load, "{fault}");
        }
        if stores.device().applied == applied {
            assert_eq!(stores.device().config, before);
            continue;
        }
        let running = stores.device().config.clone();
        let text = running.render(&RenderOptions::FULL);
        let mut reader = Reader(Config::default());
        let errors = read_config(&text, &mut reader);
        assert!(errors.is_empty(), "{errors:?}\n{text}");
        assert_eq!(reader.0.render(&RenderOptions::FULL), text);
        // Sections without a line are not written.
        let written = Config {
            interfaces: running.interfaces.into_iter().filter(|(_, i)| *i != Default::default()).collect(),
            ..running
        };
        assert_eq!(Config { debug: written.debug, ..reader.0 }, written);
        texts.push(text);
    }
    texts
}
