//! What datastores need of a daemon. Owns the contract, not its fulfilment.

use nhrp_config::Config;
use nhrp_yang::Operation;
use nhrp_yang::state::State;

/// The daemon does not answer any more: it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is shutting down")]
pub struct Gone;

/// Why a configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// See [`Gone`].
    #[error(transparent)]
    Gone(#[from] Gone),
    /// Nothing has changed, for this reason.
    #[error("{0}")]
    Because(String),
}

/// A daemon. Every call may wait for it.
pub trait Device {
    /// The configuration that runs.
    ///
    /// # Errors
    /// [`Gone`]
    fn running(&mut self) -> Result<Config, Gone>;

    /// From now on only [`Device::apply`] changes the configuration, or everybody does again.
    ///
    /// # Errors
    /// [`Gone`]
    fn hold(&mut self, hold: bool) -> Result<(), Gone>;

    /// Makes this the running configuration, as one change: what is equal stays untouched.
    ///
    /// # Errors
    /// [`Refusal`]
    fn apply(&mut self, config: &Config) -> Result<(), Refusal>;

    /// What is known at present.
    ///
    /// # Errors
    /// [`Gone`]
    fn state(&mut self) -> Result<State, Gone>;

    /// Carries out an action; how many entries it concerned, if it counts any.
    ///
    /// # Errors
    /// [`Gone`]
    fn execute(&mut self, operation: Operation) -> Result<Option<u32>, Gone>;

    /// Seconds since 1970.
    fn now(&mut self) -> i64;
}
