//! Shared fixtures of the test crate: where the binary, the plugin and the images are found.
