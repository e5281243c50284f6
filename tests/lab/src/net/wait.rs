//! Waiting for a condition with a deadline and a useful failure.
//!
//! Owns the polling. Never decides what is waited for.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Time between two looks. A guest kernel of the lab has 10 ms ticks and slow system calls.
const INTERVAL: Duration = Duration::from_millis(100);

/// By what every timeout is multiplied.
static SLOWNESS: OnceLock<u32> = OnceLock::new();

/// Multiplies every timeout of this program from now on, for a guest whose processor is emulated. The first call counts.
pub(crate) fn be_patient(slowness: u32) {
    SLOWNESS.get_or_init(|| slowness);
}

/// Looks until `look` answers `Ok(value)`, and returns the value. `Err(seen)` means "not yet" and says
/// what was seen instead; after `timeout` the failure names what was awaited and the last thing seen.
pub(crate) fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let started = Instant::now();
    let timeout = timeout * SLOWNESS.get().copied().unwrap_or(1);
    loop {
        let seen = match look() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if started.elapsed() >= timeout {
            return Err(Failure::new(format!(
                "waited {:.1} s for: {what}; last seen: {}",
                timeout.as_secs_f64(),
                seen.trim_end()
            )));
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_says_what_was_awaited_and_what_was_seen() {
        let mut looks = 0;
        let failed = wait_until("three apples", Duration::from_millis(150), || {
            looks += 1;
            Err::<(), _>(format!("{looks} apples"))
        });
        let text = failed.unwrap_err().to_string();
        assert!(looks >= 2 && text.contains("three apples") && text.ends_with(&format!("{looks} apples")));
    }

    #[test]
    fn the_value_is_returned_at_once() {
        assert_eq!(wait_until("x", Duration::ZERO, || Ok(7)).unwrap(), 7);
    }
}
