//! The lab's native back end works: the first direct path in namespaces of a kernel that has GRE.

use super::{Lab, first_direct_path};
use crate::failure::{Failure, Result};
use crate::host::nested;
use crate::mix::{Kind, Mix};
use crate::plan::{Case, Outcome};

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.kept = None; // one network at a time: the guest is small
    let case = Case { scenario: first_direct_path::NAME.to_owned(), mix: Mix::all(Kind::Ours) };
    let report = nested::run(lab.release, &case, lab.out())?;
    for note in report.notes {
        lab.note(note);
    }
    match report.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Failed(reason) | Outcome::Skipped(reason) => Err(Failure::new(reason)),
    }
}
