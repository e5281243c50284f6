//! What vtysh, watchfrr and telnet talk to: vty framing, command grammar, renderers.
