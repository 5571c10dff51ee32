//! A mix: the guests that run together, read from TOML and checked.
