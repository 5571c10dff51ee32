//! Stock Linux guests under QEMU TCG on an emulated machine.
