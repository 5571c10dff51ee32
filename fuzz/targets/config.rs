//! Any text as a daemon's configuration: it is refused by key, or can be used.

#![no_main]

use std::path::Path;

use harness::daemon::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(Path::new("fuzz.toml"), text) {
        assert!(config.status.ip().is_loopback() && config.settings.check().is_ok());
        let _ = config.rule_for(text);
    }
});
