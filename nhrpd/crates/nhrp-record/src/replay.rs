//! Playing back: the same engine is told the same at the same times, and must answer the same.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{BufRead, Write};
use std::net::IpAddr;

use nhrp_engine::{Engine, Input, Instant, Output};

use crate::format::{FORMAT, Record};
use crate::redact::{quoted, write_checksum};

/// Lines shown before a difference.
const CONTEXT: usize = 8;

/// What was played back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Starts of an engine.
    pub recordings: usize,
    /// Of them, those that end in the middle: a crash, a full disk.
    pub cut: usize,
    /// Inputs.
    pub inputs: usize,
    /// Outputs, all of them as recorded.
    pub outputs: usize,
    /// Time that the recordings cover, in microseconds.
    pub micros: u64,
}

/// The first place where this engine answers otherwise.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Line of the recording.
    pub line: usize,
    /// Who recorded.
    pub program: String,
    /// What the recording says; none if it has ended.
    pub recorded: Option<Output>,
    /// What this engine says; none if nothing.
    pub produced: Option<Output>,
    /// The lines before.
    pub before: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |output: &Option<Output>| output.as_ref().map_or("nothing".to_owned(), Record::shown);
        writeln!(f, "line {} (recorded by {}):", self.line, self.program)?;
        for line in &self.before {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "  recorded: {}", show(&self.recorded))?;
        write!(f, "  now:      {}", show(&self.produced))
    }
}

impl Record {
    fn shown(output: &Output) -> String {
        serde_json::to_string(output).unwrap_or_else(|_| format!("{output:?}"))
    }
}

/// Why a recording was not played back to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is no record.
    #[error("line {line} is no record: {error}")]
    Unreadable {
        /// Which one.
        line: usize,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Made by a later program.
    #[error("line {line}: format {format}; this program reads up to {FORMAT}")]
    Format {
        /// Which line.
        line: usize,
        /// Its number.
        format: u32,
    },
    /// There is no recording in it.
    #[error("no recording begins in it")]
    Empty,
    /// The engine answers otherwise.
    #[error("{0}")]
    Different(Box<Difference>),
}

/// Request ids of the recording, and what they are now.
#[derive(Debug, Default)]
struct Translation {
    ids: HashMap<u32, u32>,
    /// Requests sent, by what else is in them.
    then: HashMap<(IpAddr, Vec<u8>), VecDeque<u32>>,
    now: HashMap<(IpAddr, Vec<u8>), VecDeque<u32>>,
}

fn id_at(octets: &[u8]) -> Option<u32> {
    octets.get(24..)?.first_chunk::<4>().map(|id| u32::from_be_bytes(*id))
}

/// A request without its id, and the id.
fn request(output: &Output) -> Option<((IpAddr, Vec<u8>), u32)> {
    let Output::Send { destination, octets, .. } = output else { return None };
    if !matches!(octets.get(17), Some(1 | 3 | 5)) {
        return None;
    }
    let id = id_at(octets)?;
    let mut rest = octets.clone();
    rest.get_mut(12..14)?.fill(0);
    rest.get_mut(24..28)?.fill(0);
    Some(((*destination, rest), id))
}

impl Translation {
    fn was_sent(&mut self, output: &Output) {
        if let Some((key, id)) = request(output) {
            self.then.entry(key.clone()).or_default().push_back(id);
            self.pair(&key);
        }
    }

    fn is_sent(&mut self, output: &Output) {
        if let Some((key, id)) = request(output) {
            self.now.entry(key.clone()).or_default().push_back(id);
            self.pair(&key);
        }
    }

    fn pair(&mut self, key: &(IpAddr, Vec<u8>)) {
        let (Some(then), Some(now)) = (self.then.get_mut(key), self.now.get_mut(key)) else { return };
        if let (Some(_), Some(_)) = (then.front(), now.front())
            && let (Some(then), Some(now)) = (then.pop_front(), now.pop_front())
        {
            self.ids.insert(then, now);
        }
    }

    /// Replies to requests that have another id now get it, also in quotations.
    fn apply(&self, octets: &mut [u8]) {
        if let Some(inner) = quoted(octets) {
            self.put(inner);
        } else if matches!(octets.get(17), Some(2 | 4 | 6)) {
            self.put(octets);
        }
        write_checksum(octets);
    }

    fn put(&self, octets: &mut [u8]) {
        let now = id_at(octets).and_then(|id| self.ids.get(&id));
        if let (Some(now), Some(slot)) = (now, octets.get_mut(24..28)) {
            slot.copy_from_slice(&now.to_be_bytes());
        }
    }
}

/// An engine that is told a recording.
#[derive(Default)]
struct Player {
    engine: Option<Engine>,
    program: String,
    produced: VecDeque<Output>,
    context: VecDeque<String>,
    last: Instant,
    summary: Summary,
}

impl Player {
    fn start(&mut self, line: usize, start: &crate::Start) -> Result<(), ReplayError> {
        self.cut();
        if start.format > FORMAT {
            return Err(ReplayError::Format { line, format: start.format });
        }
        self.engine = Some(Engine::new(start.seed, start.limits));
        self.program.clone_from(&start.program);
        self.last = Instant::ZERO;
        self.summary.recordings += 1;
        Ok(())
    }

    /// The recording stops here without an end: what is missing may have been lost.
    fn cut(&mut self) {
        if self.engine.take().is_some() {
            self.summary.cut += 1;
            self.ended();
        }
    }

    fn ended(&mut self) {
        self.engine = None;
        self.produced.clear();
        self.summary.micros += self.last.as_micros();
        self.last = Instant::ZERO;
    }

    fn input(&mut self, at: Instant, input: Input) {
        self.last = at;
        self.summary.inputs += 1;
        if let Some(engine) = &mut self.engine {
            engine.handle(at, input);
            self.produced.extend(std::iter::from_fn(|| engine.poll_output()));
        }
    }

    fn difference(&mut self, line: usize, recorded: Option<Output>, produced: Option<Output>) -> ReplayError {
        let (program, before) = (self.program.clone(), self.context.iter().cloned().collect());
        ReplayError::Different(Box::new(Difference { line, program, recorded, produced, before }))
    }

    fn remember(&mut self, line: &str) {
        if self.context.len() >= CONTEXT {
            self.context.pop_front();
        }
        self.context.push_back(line.to_owned());
    }
}

/// The same packet. What an error quotes has a checksum of its own, which is that of the packet before passwords were
/// replaced in it.
fn same(a: &Output, b: &Output) -> bool {
    fn plain(output: &Output) -> Output {
        let mut output = output.clone();
        if let Output::Send { octets, .. } = &mut output
            && let Some(inner) = quoted(octets)
        {
            if let Some(sum) = inner.get_mut(12..14) {
                sum.fill(0);
            }
            if let Some(sum) = octets.get_mut(12..14) {
                sum.fill(0);
            }
        }
        output
    }
    a == b || plain(a) == plain(b)
}

/// Records of a file with their line numbers; none for what a crash left of a line.
fn records(
    source: impl BufRead,
    mut each: impl FnMut(usize, &str, Option<Record>) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut broken = None;
    for (index, line) in source.lines().enumerate() {
        let (number, line) = (index + 1, line?);
        if line.is_empty() {
            continue;
        }
        match serde_json::from_str::<Record>(&line) {
            Ok(record) => {
                if let Some((line, error)) = broken.take() {
                    if !matches!(record, Record::Start(_)) {
                        return Err(ReplayError::Unreadable { line, error });
                    }
                    each(number, "", None)?;
                }
                each(number, &line, Some(record))?;
            }
            Err(error) => {
                if let Some((line, error)) = broken.take() {
                    return Err(ReplayError::Unreadable { line, error });
                }
                broken = Some((number, error));
            }
        }
    }
    Ok(())
}

/// Plays a file back and compares.
///
/// # Errors
/// The first difference, or why there is nothing to compare.
pub fn replay(source: impl BufRead) -> Result<Summary, ReplayError> {
    let mut player = Player::default();
    records(source, |number, line, record| {
        match record {
            None => player.cut(),
            Some(Record::Start(start)) => player.start(number, &start)?,
            Some(Record::In { at, input }) => player.input(at, input),
            Some(Record::Trace(on)) => {
                if let Some(engine) = &mut player.engine {
                    engine.set_packet_trace(on);
                }
            }
            Some(Record::Out(recorded)) => {
                let produced = player.produced.pop_front();
                if !produced.as_ref().is_some_and(|produced| same(produced, &recorded)) {
                    return Err(player.difference(number, Some(recorded), produced));
                }
                player.summary.outputs += 1;
            }
            Some(Record::End(_)) => {
                if let Some(produced) = player.produced.pop_front() {
                    return Err(player.difference(number, None, Some(produced)));
                }
                player.ended();
            }
        }
        player.remember(line);
        Ok(())
    })?;
    player.cut();
    if player.summary.recordings == 0 { Err(ReplayError::Empty) } else { Ok(player.summary) }
}

/// Plays a file back and writes it anew with what this engine answers. Request ids in replies follow those that the
/// engine draws now, so that what was asked is still answered.
///
/// # Errors
/// If the file is no recording, or the new one cannot be written.
pub fn update(source: impl BufRead, mut sink: impl Write) -> Result<Summary, ReplayError> {
    let mut player = Player::default();
    let mut translation = Translation::default();
    let mut put = |record: &Record| -> Result<(), ReplayError> {
        let line = serde_json::to_string(record).map_err(std::io::Error::from)?;
        Ok(writeln!(sink, "{line}")?)
    };
    records(source, |number, _, record| {
        match record {
            None => player.cut(),
            Some(Record::Start(start)) => {
                player.start(number, &start)?;
                translation = Translation::default();
                put(&Record::Start(start))?;
            }
            Some(Record::In { at, mut input }) => {
                if let Input::Packet { octets, .. } = &mut input {
                    translation.apply(octets);
                }
                put(&Record::In { at, input: input.clone() })?;
                player.input(at, input);
                for output in std::mem::take(&mut player.produced) {
                    translation.is_sent(&output);
                    put(&Record::Out(output))?;
                    player.summary.outputs += 1;
                }
            }
            Some(Record::Trace(on)) => {
                if let Some(engine) = &mut player.engine {
                    engine.set_packet_trace(on);
                }
                put(&Record::Trace(on))?;
            }
            Some(Record::Out(recorded)) => translation.was_sent(&recorded),
            Some(Record::End(reason)) => {
                player.ended();
                put(&Record::End(reason))?;
            }
        }
        Ok(())
    })?;
    player.cut();
    if player.summary.recordings == 0 { Err(ReplayError::Empty) } else { Ok(player.summary) }
}
