//! The initramfs: a cpio archive in the "newc" format with our init and the kernel's modules. Written here, since the
//! format is a hundred bytes of header a file, and tools for it write times and owners into it.

/// An archive being written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

/// Bits of `st_mode` that say what an entry is.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// Adds a folder; its parents come first.
    pub(crate) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER | 0o755, (0, 0), &[]);
    }

    /// Adds a file that only the owner writes; `permissions` as 0o755.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, FILE | permissions, (0, 0), content);
    }

    /// Adds a character device: the kernel opens `dev/console` for process 1 before anything is mounted.
    pub(crate) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("no file of the initramfs reaches 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        // inode, mode, uid, gid, links, time, size, device of the file (2), device it is (2), size of the name, check
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of four bytes.
    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_headers_names_and_contents_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.file("init", 0o755, b"abcde");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.starts_with("07070100000001000041ed0000000000000000000000020000000000000000"));
        // 110 bytes of header, "dev" and a zero: 114, padded to 116.
        assert!(text[116..].starts_with("07070100000002000081ed"));
        assert!(text.contains("abcde\0\0\x00070701"));
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"));
    }
}
