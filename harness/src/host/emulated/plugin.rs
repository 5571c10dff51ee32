//! Where the plugin's shared objects are: one for each version of QEMU's plugin interface.

use std::path::{Path, PathBuf};

use crate::qemu::PluginInterface;

const VARIABLE: &str = "PHASECAST_PLUGIN";

/// There is no plugin to load into QEMU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to find the QEMU plugin; looked for {}; build it (cargo build --workspace, or make build) or name it in \
     PHASECAST_PLUGIN", .looked_for.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct PluginMissing {
    looked_for: Vec<PathBuf>,
}

/// The plugin of this interface that belongs to this executable: `$PHASECAST_PLUGIN`, else the one that was built beside
/// it. Test executables stand one folder deeper. Whether a plugin that was named fits is QEMU's to say: it refuses one
/// for another interface.
pub fn find(interface: PluginInterface) -> Result<PathBuf, PluginMissing> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let executable = std::env::current_exe().ok();
    first_of(candidates(interface, named, executable.as_deref()))
}

fn candidates(interface: PluginInterface, named: Option<PathBuf>, executable: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named];
    }
    let file = format!("libphasecast_plugin_api{}.so", interface.number());
    let folders = executable.into_iter().flat_map(|executable| executable.ancestors().skip(1).take(2));
    folders.map(|folder| folder.join(&file)).collect()
}

fn first_of(looked_for: Vec<PathBuf>) -> Result<PathBuf, PluginMissing> {
    let found = looked_for.iter().find(|path| path.is_file()).and_then(|path| path.canonicalize().ok());
    found.ok_or(PluginMissing { looked_for })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_plugin_is_the_only_one_looked_for() {
        let executable = Path::new("/build/target/debug/phasecast");
        assert_eq!(
            candidates(PluginInterface::V1, Some("/opt/p.so".into()), Some(executable)),
            [Path::new("/opt/p.so")]
        );
    }

    #[test]
    fn a_test_executable_finds_the_plugin_one_folder_up() {
        let looked_for =
            candidates(PluginInterface::V4, None, Some(Path::new("/build/target/debug/deps/emulated-1234")));
        let expected = ["deps/", ""].map(|folder| format!("/build/target/debug/{folder}libphasecast_plugin_api4.so"));
        assert_eq!(looked_for, expected.map(PathBuf::from));
    }

    #[test]
    fn a_missing_plugin_is_an_error_that_says_how_to_build_it() {
        let error = first_of(vec!["/nonexistent/libphasecast_plugin_api1.so".into()]).expect_err("not there");
        let text = error.to_string();
        assert!(text.contains("/nonexistent/") && text.contains("cargo build --workspace"), "{text}");
    }
}
