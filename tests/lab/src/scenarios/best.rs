//! Times that were promised, on a machine that may do something else for a while.
//!
//! Owns how often a measurement is repeated. Never measures anything itself.

use std::time::Duration;

use crate::failure::{Result, ensure};

/// Measures until the limit is kept, three times at most: a machine that does something else for a second must
/// not fail the daemon, and a daemon that is too slow is so each time. `measure` is told whether it is the first time.
pub(super) fn best(
    limit: Option<Duration>,
    mut measure: impl FnMut(bool) -> Result<Duration>,
) -> Result<Duration> {
    let mut best = measure(true)?;
    let Some(limit) = limit else { return Ok(best) };
    for _ in 1..3 {
        if best < limit {
            break;
        }
        best = best.min(measure(false)?);
    }
    ensure!(best < limit, "took {best:?} at best of three, promised are {limit:?}");
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_measurement_within_the_limit_is_enough_and_three_beyond_it_are_a_failure() {
        let (mut counted, limit) = (0, Some(Duration::from_secs(1)));
        let mut after = |slow: usize| {
            counted = 0;
            best(limit, |first| {
                assert_eq!(first, counted == 0);
                counted += 1;
                Ok(Duration::from_millis(if counted <= slow { 1500 } else { 500 }))
            })
            .map(|took| (took, counted))
        };
        assert_eq!(after(0).unwrap(), (Duration::from_millis(500), 1));
        assert_eq!(after(2).unwrap(), (Duration::from_millis(500), 3));
        assert!(after(3).unwrap_err().to_string().contains("1.5s at best of three"));
    }

    #[test]
    fn without_a_limit_it_is_measured_once() {
        assert_eq!(best(None, |_| Ok(Duration::from_secs(9))).unwrap(), Duration::from_secs(9));
    }
}
