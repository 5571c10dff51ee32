//! QEMU processes: start, talk to, watch and end them.
