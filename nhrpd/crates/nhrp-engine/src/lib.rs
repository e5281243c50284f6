//! The NHRP protocol as a deterministic state machine without sockets, clock or tasks.
