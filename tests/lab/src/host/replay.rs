//! `cargo lab replay`: a recording of a daemon, told to the engine of this checkout.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::failure::{Context, Failure, Result};

/// Plays a file back, or writes it anew.
pub(crate) fn replay(path: &Path, update: bool) -> Result<()> {
    let name = path.display();
    let source = || Ok(BufReader::new(File::open(path).context(|| format!("opening {name}"))?));
    let summary = if update {
        let mut renewed = Vec::new();
        let summary = nhrp_record::update(source()?, &mut renewed).context(|| name.to_string())?;
        std::fs::write(path, renewed).context(|| format!("writing {name}"))?;
        summary
    } else {
        nhrp_record::replay(source()?)
            .map_err(|error| Failure::new(format!("{name}: {}{error}", introduction(&error))))?
    };
    let cut = if summary.cut > 0 { format!(", {} without an end", summary.cut) } else { String::new() };
    println!(
        "{} recordings{cut}: {} inputs in {:.1} s; {} outputs, all {}",
        summary.recordings,
        summary.inputs,
        std::time::Duration::from_micros(summary.micros).as_secs_f64(),
        summary.outputs,
        if update { "written anew" } else { "as recorded" }
    );
    Ok(())
}

fn introduction(error: &nhrp_record::ReplayError) -> &'static str {
    match error {
        nhrp_record::ReplayError::Different(_) => "this engine answers otherwise, first at ",
        _ => "",
    }
}
