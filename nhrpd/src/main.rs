//! NHRP daemon for DMVPN, a replacement of the one of FRRouting.
fn main() {}
