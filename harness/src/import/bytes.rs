//! A file's bytes, unpacked where they are gzip: told by the first bytes, never by the name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::input::InputError;

/// Most bytes that a file may hold, unpacked: several times the largest recordings, and what memory bears.
const MOST_BYTES: u64 = 4 << 30;

/// What the file at `path` holds.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let unreadable = |error: std::io::Error| {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::IsADirectory => "is a folder".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        InputError::new(problem, "give the path of a readable file").in_file(path)
    };
    let mut packed = Vec::new();
    File::open(path).map_err(unreadable)?.take(MOST_BYTES).read_to_end(&mut packed).map_err(unreadable)?;
    unpack(packed, MOST_BYTES).map_err(|problem| {
        InputError::new(format!("is no gzip file that can be used: {problem}"), "write or download it again")
            .in_file(path)
    })
}

/// `bytes`, or what is in them where they are gzip.
fn unpack(bytes: Vec<u8>, most: u64) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    // One byte more than is allowed tells a file that is too long from one that just fits.
    MultiGzDecoder::new(&bytes[..]).take(most + 1).read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
    if unpacked.len() as u64 > most {
        return Err(format!("it unpacks to more than {most} bytes"));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).expect("memory");
        writer.finish().expect("memory")
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        let two = [packed(b"one "), packed(b"two")].concat();
        assert_eq!(unpack(two, 100), Ok(b"one two".to_vec()));
        assert_eq!(unpack(b"plain".to_vec(), 100), Ok(b"plain".to_vec()));
    }

    #[test]
    fn a_file_cut_short_or_too_long_is_refused() {
        let whole = packed(&[7; 1000]);
        assert!(unpack(whole[..whole.len() - 4].to_vec(), 2000).is_err());
        assert!(unpack(whole.clone(), 999).is_err());
        assert_eq!(unpack(whole, 1000).map(|bytes| bytes.len()), Ok(1000));
    }
}
