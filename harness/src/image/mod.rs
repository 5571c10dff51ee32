//! The guest image: kernel, initramfs and root file system, cached by content.
