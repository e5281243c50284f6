//! The API of the FRR zebra daemon, releases 8.4 to 10.7.
