//! `--cache`, the same for every command: the folder with guest images, saved states, streams and installed QEMUs.

use std::path::{Path, PathBuf};

use crate::image::Cache;
use crate::input::InputError;

/// Which cache a command uses.
#[derive(Debug, clap::Args)]
pub struct CacheArg {
    /// The folder with guest images, saved states, streams and installed QEMUs [default: $PHASECAST_CACHE, else
    /// $XDG_CACHE_HOME/phasecast, else ~/.cache/phasecast].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// What commands that only look after the cache can be told.
#[derive(Debug, clap::Args)]
pub struct CacheCommand {
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheArg,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

impl CacheArg {
    /// The folder that was named on the command line, if one was.
    #[must_use]
    pub fn named(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// The folder that was named, else the user's own.
    pub fn folder(&self) -> Result<PathBuf, InputError> {
        self.cache.clone().map_or_else(Cache::default_folder, Ok)
    }

    /// Opens it.
    pub fn open(&self) -> anyhow::Result<Cache> {
        Ok(Cache::open(self.folder()?)?)
    }
}
