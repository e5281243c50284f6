//! What each call does: FRR's behaviour, with its codes and texts. Owns candidates, the open transaction, the lock and
//! the history; the configuration that runs and the state are the device's.
//!
//! What FRR does otherwise, and is not repeated: a candidate that is edited between the two phases of its commit does
//! not change what is committed, and an aborted or applied transaction is gone.

use nhrp_config::Config;
use nhrp_yang::{Format, ModuleInfo, Operation, Schema, Tree, WithDefaults, config_of, document_of};

use crate::candidate::Candidates;
use crate::device::Device;
use crate::fault::{Code, Fault};
use crate::history::{History, Transaction};

/// What clients may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Candidates at a time.
    pub candidates: usize,
    /// Seconds after which a candidate that nobody has named makes room for another one.
    pub idle: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { candidates: 100, idle: 600 }
    }
}

/// Phase of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Only says whether it could be committed.
    Validate,
    /// The first of two.
    Prepare,
    /// The second of two: nothing has happened.
    Abort,
    /// The second of two: it happens.
    Apply,
    /// Both.
    All,
}

/// Which data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Both.
    All,
    /// What is configured.
    Config,
    /// What is known.
    State,
}

/// Between the phases of a commit.
#[derive(Debug)]
struct Open {
    candidate: u32,
    config: Config,
    comment: String,
}

/// All of it.
#[derive(Debug)]
pub struct Datastores<'s, D> {
    schema: &'s Schema,
    device: D,
    limits: Limits,
    candidates: Candidates<'s>,
    open: Option<Open>,
    locked: bool,
    history: History,
}

impl<'s, D: Device> Datastores<'s, D> {
    /// Nothing but what runs.
    pub fn new(schema: &'s Schema, device: D, limits: Limits) -> Self {
        Self {
            schema,
            device,
            limits,
            candidates: Candidates::default(),
            open: None,
            locked: false,
            history: History::default(),
        }
    }

    /// The device.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Seconds since 1970.
    pub fn now(&mut self) -> i64 {
        self.device.now()
    }

    /// Modules by name.
    #[must_use]
    pub fn modules(&self) -> Vec<ModuleInfo> {
        self.schema.modules()
    }

    fn running(&mut self) -> Result<Tree<'s>, Fault> {
        let config = self.device.running()?;
        Ok(document_of(self.schema, &config)?)
    }

    /// Data at a path, as text, with everything above it; of an empty path, everything. FRR leaves out what is above,
    /// and adds what follows.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that names nothing, or more than one node.
    pub fn get(
        &mut self,
        path: &str,
        what: What,
        format: Format,
        defaults: WithDefaults,
    ) -> Result<String, Fault> {
        let whole = matches!(path, "" | "/");
        let part = |tree: Tree<'s>| if whole { Some(tree) } else { tree.part(path) };
        let not_found =
            |text: &str| Fault::because(Code::InvalidArgument, text, format_args!("\"{}\"", shown(path)));
        let mut data = match what {
            What::State => Tree::empty(self.schema),
            What::All | What::Config => {
                part(self.running()?).ok_or_else(|| not_found("Data path not found"))?
            }
        };
        if what != What::Config {
            if !whole && !self.schema.knows(&without_predicates(path)) {
                return Err(not_found("Failed to fetch operational data"));
            }
            let state = self.device.state()?.document(self.schema)?;
            // Where nothing is known, there is nothing.
            if let Some(state) = part(state) {
                data.merge(&state)?;
            }
        }
        Ok(data.print(format, defaults)?)
    }

    /// A copy of what runs; its number.
    ///
    /// # Errors
    /// `ResourceExhausted` if there are too many.
    pub fn create_candidate(&mut self) -> Result<u32, Fault> {
        let (tree, now) = (self.running()?, self.device.now());
        let limits = (self.limits.candidates, self.limits.idle);
        let kept = self.open.as_ref().map(|open| open.candidate);
        self.candidates.add(tree, now, limits, kept).ok_or_else(|| {
            Fault::because(
                Code::ResourceExhausted,
                "Can't create candidate configuration",
                format_args!(
                    "there are {} of them; delete those that are not needed",
                    self.limits.candidates
                ),
            )
        })
    }

    /// Ends its transaction, too.
    ///
    /// # Errors
    /// `NotFound`
    pub fn delete_candidate(&mut self, id: u32) -> Result<(), Fault> {
        if !self.candidates.remove(id) {
            return Err(Fault::no_candidate());
        }
        if self.is_open(id) {
            self.close()?;
        }
        Ok(())
    }

    /// Puts it over what runs now.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` between the phases of its commit.
    pub fn update_candidate(&mut self, id: u32) -> Result<(), Fault> {
        let now = self.device.now();
        self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        self.not_open(id)?;
        let mut tree = self.running()?;
        let candidate = self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        tree.merge(&candidate.tree)?;
        candidate.tree = tree;
        Ok(())
    }

    /// First what is to be there, then what is not: all of it or nothing. Whether the whole is valid, only a commit
    /// asks.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` with the path.
    pub fn edit_candidate(
        &mut self,
        id: u32,
        update: &[(String, String)],
        delete: &[String],
    ) -> Result<(), Fault> {
        let now = self.device.now();
        let candidate = self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        let mut tree = candidate.tree.copy()?;
        let failed = |verb: &str, path: &str, reason: nhrp_yang::TreeError| {
            Fault::because(Code::InvalidArgument, &format!("Failed to {verb} \"{}\"", shown(path)), reason)
        };
        for (path, value) in update {
            tree.set(path, value).map_err(|reason| failed("update", path, reason))?;
        }
        for path in delete {
            tree.remove(path).map_err(|reason| failed("remove", path, reason))?;
        }
        candidate.tree = tree;
        Ok(())
    }

    /// Takes a document into a candidate, or in its place.
    ///
    /// # Errors
    /// `NotFound`; `Internal`, as in FRR, for a document that is not valid.
    pub fn load_to_candidate(
        &mut self,
        id: u32,
        text: &str,
        format: Format,
        replace: bool,
    ) -> Result<(), Fault> {
        let now = self.device.now();
        let candidate = self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        let loaded = Tree::parse(self.schema, text, format)
            .map_err(|reason| Fault::because(Code::Internal, "Failed to parse the configuration", reason))?;
        if replace {
            candidate.tree = loaded;
            return Ok(());
        }
        let mut tree = candidate.tree.copy()?;
        tree.merge(&loaded).map_err(|reason| {
            Fault::because(Code::Internal, "Failed to merge the loaded configuration", reason)
        })?;
        candidate.tree = tree;
        Ok(())
    }

    /// [`commit_by`](Self::commit_by) nobody in particular.
    ///
    /// # Errors
    /// Its.
    pub fn commit(&mut self, id: u32, phase: Phase, comment: &str) -> Result<Option<u32>, Fault> {
        self.commit_by("", id, phase, comment)
    }

    /// A phase of a commit; the number of the transaction after [`Phase::Apply`] and [`Phase::All`].
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` for a phase that is not the next one; `InvalidArgument` for what is not valid;
    /// `Aborted` where nothing would change; `Unavailable` while another candidate is between its phases.
    pub fn commit_by(
        &mut self,
        client: &str,
        id: u32,
        phase: Phase,
        comment: &str,
    ) -> Result<Option<u32>, Fault> {
        let now = self.device.now();
        self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        match phase {
            Phase::Validate => self.valid(id).map(|_| None),
            Phase::Prepare => {
                self.not_open(id)?;
                let config = self.prepared(id)?;
                self.device.hold(true)?;
                self.open = Some(Open { candidate: id, config, comment: comment.to_owned() });
                Ok(None)
            }
            Phase::All => {
                self.not_open(id)?;
                let config = self.prepared(id)?;
                self.apply(config, client, comment.to_owned()).map(Some)
            }
            Phase::Abort | Phase::Apply => {
                let open = self
                    .open
                    .take_if(|open| open.candidate == id)
                    .ok_or_else(|| Fault::new(Code::FailedPrecondition, "no transaction in progress"))?;
                let done = match phase {
                    Phase::Apply => self.apply(open.config, client, open.comment).map(Some),
                    _ => Ok(None),
                };
                self.close()?;
                done
            }
        }
    }

    /// What runs and what a candidate would make of it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` for what is not valid.
    pub fn pair(&mut self, id: u32) -> Result<(Config, Config), Fault> {
        let candidate = self.valid(id)?;
        // What runs, in the form in which it comes back from data.
        Ok((config_of(&self.running()?)?, candidate))
    }

    /// The candidate as a configuration, if it is one.
    fn valid(&mut self, id: u32) -> Result<Config, Fault> {
        let now = self.device.now();
        let candidate = self.candidates.get(id, now).ok_or_else(Fault::no_candidate)?;
        let mut tree = candidate.tree.copy()?;
        let invalid = |reason: String| Fault::new(Code::InvalidArgument, reason);
        tree.validate().map_err(|reason| invalid(reason.to_string()))?;
        config_of(&tree).map_err(|reason| invalid(reason.to_string()))
    }

    /// The candidate, if it can be committed now.
    fn prepared(&mut self, id: u32) -> Result<Config, Fault> {
        let (running, config) = self.pair(id)?;
        if running == config {
            let text = "No changes to apply were found during preparation phase";
            return Err(Fault::new(Code::Aborted, text));
        }
        if self.open.is_some() {
            return Err(Fault::new(Code::Unavailable, "there's already another transaction in progress"));
        }
        Ok(config)
    }

    fn apply(&mut self, config: Config, client: &str, comment: String) -> Result<u32, Fault> {
        self.device.apply(&config)?;
        let now = self.device.now();
        Ok(self.history.add(now, client.to_owned(), comment, config))
    }

    fn is_open(&self, id: u32) -> bool {
        self.open.as_ref().is_some_and(|open| open.candidate == id)
    }

    fn not_open(&self, id: u32) -> Result<(), Fault> {
        if self.is_open(id) {
            let text = "candidate is in the middle of a transaction";
            return Err(Fault::new(Code::FailedPrecondition, text));
        }
        Ok(())
    }

    /// There is no transaction any more.
    fn close(&mut self) -> Result<(), Fault> {
        self.open = None;
        self.device.hold(self.locked)?;
        Ok(())
    }

    /// Commits that are remembered, the oldest first.
    #[must_use]
    pub fn transactions(&self) -> Vec<Transaction> {
        self.history.all()
    }

    /// What a commit left.
    ///
    /// # Errors
    /// `InvalidArgument`, as in FRR, for one that is not known.
    pub fn transaction(&self, id: u32, format: Format, defaults: WithDefaults) -> Result<String, Fault> {
        let config = self
            .history
            .config(id)
            .ok_or_else(|| Fault::new(Code::InvalidArgument, "Transaction not found"))?;
        Ok(document_of(self.schema, config)?.print(format, defaults)?)
    }

    /// Only clients of this service change the configuration: the lock is theirs together, as in FRR.
    ///
    /// # Errors
    /// `FailedPrecondition` if it is locked.
    pub fn lock(&mut self) -> Result<(), Fault> {
        if self.locked {
            let text = "running configuration is locked already";
            return Err(Fault::new(Code::FailedPrecondition, text));
        }
        self.device.hold(true)?;
        self.locked = true;
        Ok(())
    }

    /// Ends that.
    ///
    /// # Errors
    /// `FailedPrecondition` if it is not locked.
    pub fn unlock(&mut self) -> Result<(), Fault> {
        if !self.locked {
            let text = "failed to unlock the running configuration";
            return Err(Fault::new(Code::FailedPrecondition, text));
        }
        self.device.hold(self.open.is_some())?;
        self.locked = false;
        Ok(())
    }

    /// Carries out an action; paths and values of its answer.
    ///
    /// # Errors
    /// `InvalidArgument`
    pub fn execute(
        &mut self,
        path: &str,
        input: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Fault> {
        let refused = |text: &str| Err(Fault::new(Code::InvalidArgument, text));
        if path.is_empty() {
            return refused("Data path is empty");
        }
        if !Operation::exists(path) {
            let text = if self.schema.knows(&without_predicates(path)) { "Invalid" } else { "Unknown" };
            return refused(&format!("{text} data path: \"{}\"", shown(path)));
        }
        let operation = Operation::parse(self.schema, path, input)
            .map_err(|reason| Fault::because(Code::InvalidArgument, "Invalid input data", reason))?;
        let cleared = self.device.execute(operation)?;
        Ok(Operation::output(path, cleared))
    }
}

/// A path as the schema knows it. What is between brackets may be anything, brackets in quotes included.
fn without_predicates(path: &str) -> String {
    let (mut out, mut depth, mut quote) = (String::with_capacity(path.len()), 0u32, None);
    for c in path.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('[', None) => depth += 1,
            (']', None) => depth = depth.saturating_sub(1),
            ('\'' | '"', None) if depth > 0 => quote = Some(c),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// A path in a message: what a client sends may be of any length.
fn shown(path: &str) -> String {
    const MOST: usize = 256;
    match path.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        None => path.to_owned(),
    }
}
