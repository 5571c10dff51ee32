//! Translations that QEMU was asked for lately. Asking takes it a search of its memory blocks; most misses are on pages
//! that missed a moment ago. As in a processor's TLB, an entry is good until the guest writes a control register or
//! invalidates a page: x86 promises software no more.

// SPDX-License-Identifier: GPL-2.0-or-later

const ENTRIES: usize = 256;
const PAGE_BITS: u32 = 12;
/// No page has this number.
const NOWHERE: u64 = u64::MAX;

/// Pages by the low bits of their number, with the physical page of each.
pub(crate) struct Translations {
    pages: [(u64, u64); ENTRIES],
}

impl Translations {
    pub(crate) fn new() -> Self {
        Self { pages: [(NOWHERE, 0); ENTRIES] }
    }

    /// The physical address behind a virtual one; `ask` is called if the page is not known.
    pub(crate) fn get(&mut self, address: u64, ask: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let page = address >> PAGE_BITS;
        let in_page = address & ((1 << PAGE_BITS) - 1);
        let entry = &mut self.pages[page as usize % ENTRIES];
        if entry.0 != page {
            *entry = (page, ask()? >> PAGE_BITS);
        }
        Some(entry.1 << PAGE_BITS | in_page)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.pages = [(NOWHERE, 0); ENTRIES];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_once_until_translations_change() {
        let mut known = Translations::new();
        assert_eq!(known.get(0x1234, || Some(0x9_9234)), Some(0x9_9234));
        assert_eq!(known.get(0x1ff8, || panic!("known")), Some(0x9_9ff8));
        assert_eq!(
            known.get(0x1234 + (ENTRIES << PAGE_BITS) as u64, || Some(0x5_0234)),
            Some(0x5_0234),
            "another page"
        );
        assert_eq!(known.get(0x1234, || Some(0x7_7234)), Some(0x7_7234), "which took the first one's place");
        known.clear();
        assert_eq!(known.get(0x1234, || Some(0x1234)), Some(0x1234));
    }

    #[test]
    fn a_devices_page_is_asked_for_every_time() {
        let mut known = Translations::new();
        assert_eq!(known.get(0x5000, || None), None);
        assert_eq!(known.get(0x5000, || Some(0x6000)), Some(0x6000));
    }
}
