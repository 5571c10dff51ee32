//! Writes a vCPU's stream while it runs.

use std::fs::File;

use super::StreamError;

/// Told by a vCPU of everything that its references to the LLC and their timing consist of.
#[derive(Debug)]
pub struct Recorder {
    file: File,
}

impl Recorder {
    /// Appends to a file that has a header and nothing else.
    #[must_use]
    pub const fn new(file: File) -> Self {
        Self { file }
    }

    /// Ends the stream: without this the file is refused by its reader.
    pub fn finish(self) -> Result<(), StreamError> {
        self.file.sync_all().map_err(|error| StreamError::new("end a stream", error))
    }
}
