//! FRR text of a configuration.
