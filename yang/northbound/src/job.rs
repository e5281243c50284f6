//! One call on its way from the transport to the datastores. All calls go one after the other, as in FRR.

use crate::{Datastores, Device};

/// A device of whatever kind.
pub type AnyDevice = Box<dyn Device + Send>;

/// The datastores that jobs work on.
pub type Stores = Datastores<'static, AnyDevice>;

/// What is to be done.
pub struct Job(Box<dyn FnOnce(&mut Stores) + Send>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Job {
    /// Something to do.
    pub fn new(work: impl FnOnce(&mut Stores) + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does it.
    pub fn run(self, stores: &mut Stores) {
        (self.0)(stores);
    }
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn running(&mut self) -> Result<nhrp_config::Config, crate::Gone> {
        (**self).running()
    }

    fn hold(&mut self, hold: bool) -> Result<(), crate::Gone> {
        (**self).hold(hold)
    }

    fn apply(&mut self, config: &nhrp_config::Config) -> Result<(), crate::Refusal> {
        (**self).apply(config)
    }

    fn state(&mut self) -> Result<nhrp_yang::state::State, crate::Gone> {
        (**self).state()
    }

    fn execute(&mut self, operation: nhrp_yang::Operation) -> Result<Option<u32>, crate::Gone> {
        (**self).execute(operation)
    }

    fn now(&mut self) -> i64 {
        (**self).now()
    }
}
