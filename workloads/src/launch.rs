//! The launch line: what a guest is told to run, on its kernel's command line.
//!
//! `phasecast.argv=` carries the arguments, the program's path first, each percent-encoded and joined by `+`. The
//! harness writes it, the guest's init reads it; nothing else travels this way. Lines over the console port are
//! described in the guest's init.

/// The key on the kernel's command line.
pub const ARGV_KEY: &str = "phasecast.argv";

/// The word on the kernel's command line that has the guest mount the disk of a suite.
pub const SUITE_WORD: &str = "phasecast.suite";

/// The name of the virtio-serial port over which guest and harness talk.
pub const PORT_NAME: &str = "phasecast";

/// Room on the kernel's command line of x86-64, in bytes.
pub const COMMAND_LINE_LIMIT: usize = 2047;

/// A launch line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The key is not there.
    #[error("the kernel's command line has no phasecast.argv=")]
    Missing,
    /// A percent sign without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("phasecast.argv holds \"{0}\", which is not percent-encoded text")]
    Encoding(String),
}

/// The word for the kernel's command line: `phasecast.argv=/usr/bin/kernels+chase+--size+1MiB`.
#[must_use]
pub fn encode_argv(argv: &[String]) -> String {
    let arguments: Vec<String> = argv.iter().map(|argument| percent_encoded(argument)).collect();
    format!("{ARGV_KEY}={}", arguments.join("+"))
}

/// The arguments named on a kernel's command line.
pub fn decode_argv(command_line: &str) -> Result<Vec<String>, LaunchError> {
    let value = command_line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(ARGV_KEY)?.strip_prefix('='))
        .ok_or(LaunchError::Missing)?;
    value.split('+').map(percent_decoded).collect()
}

/// Whether a kernel's command line asks for the disk of a suite.
#[must_use]
pub fn asks_for_suite(command_line: &str) -> bool {
    command_line.split_ascii_whitespace().any(|word| word == SUITE_WORD)
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._/=,:-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}

fn percent_decoded(text: &str) -> Result<String, LaunchError> {
    let failed = || LaunchError::Encoding(text.to_owned());
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(failed()) };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_script_survives_the_kernels_command_line() {
        let argv = ["/usr/bin/kernels", "phased", "chase:768KiB:60M stream:4MiB:1M"].map(str::to_owned);
        let word = encode_argv(&argv);
        assert_eq!(word, "phasecast.argv=/usr/bin/kernels+phased+chase:768KiB:60M%20stream:4MiB:1M");
        assert_eq!(decode_argv(&format!("console=ttyS0 {word} quiet")), Ok(argv.to_vec()));
    }

    #[test]
    fn a_broken_line_is_an_error() {
        assert_eq!(decode_argv("console=ttyS0 quiet"), Err(LaunchError::Missing));
        assert_eq!(decode_argv("phasecast.argv=/a%2"), Err(LaunchError::Encoding("/a%2".to_owned())));
        assert_eq!(decode_argv("phasecast.argv=%ff"), Err(LaunchError::Encoding("%ff".to_owned())));
    }

    proptest! {
        #[test]
        fn encoding_then_decoding_is_the_identity(argv in prop::collection::vec(".*", 1..5)) {
            prop_assert_eq!(decode_argv(&format!("a=b {} c", encode_argv(&argv))), Ok(argv));
        }
    }
}
