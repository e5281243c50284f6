//! Networks of NHRP engines in virtual time.
