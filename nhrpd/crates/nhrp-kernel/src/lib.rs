//! What nhrpd says to the Linux kernel: AF_PACKET, NFLOG, neighbours, sysctls.
