//! cargo lab: real kernels, real FRR, real strongSwan around nhrpd.
fn main() {}
