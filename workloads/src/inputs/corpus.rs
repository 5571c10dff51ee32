//! Text with structure: prose, logs, tables and binary records in turn, for programs that compress or search.
//!
//! Sections differ in how repetitive they are, so a compressor works differently on each.

use crate::random::SplitMix64;

/// How large a section is before the next kind begins.
const SECTION_BYTES: usize = 384 * 1024;

/// Words of the vocabulary.
const WORDS: usize = 6000;

/// A vocabulary whose words are used about as unevenly as a language's.
pub(super) struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    pub(super) fn new(random: &mut SplitMix64) -> Self {
        let onsets =
            ["b", "br", "c", "ch", "d", "f", "g", "gr", "h", "l", "m", "n", "p", "qu", "r", "s", "st", "t", "v"];
        let rimes = ["a", "e", "i", "o", "u", "an", "ar", "el", "en", "er", "ing", "is", "on", "or", "um", "ent"];
        let words = (0..WORDS).map(|rank| {
            // Frequent words are short, as in every language.
            let syllables = 1 + random.below(2 + usize::from(rank > 50) + usize::from(rank > 1500));
            (0..syllables).map(|_| format!("{}{}", random.pick(&onsets), random.pick(&rimes))).collect()
        });
        Self { words: words.collect() }
    }

    /// A word; the one of rank n is about 1/n as frequent as the first (Zipf's law, by a power of a uniform number).
    pub(super) fn pick(&self, random: &mut SplitMix64) -> &str {
        let rank = (self.words.len() as f64).powf(random.unit()) as usize;
        &self.words[rank.min(self.words.len()) - 1]
    }
}

/// About `bytes` of sections in turn.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let vocabulary = Vocabulary::new(&mut random);
    let sections: [fn(&Vocabulary, &mut SplitMix64, &mut Vec<u8>); 4] = [prose, log, table, records];
    let mut corpus = Vec::with_capacity(bytes + 4096);
    for section in (0..sections.len()).cycle() {
        let end = (corpus.len() + SECTION_BYTES).min(bytes);
        while corpus.len() < end {
            sections[section](&vocabulary, &mut random, &mut corpus);
        }
        if corpus.len() >= bytes {
            break;
        }
    }
    corpus.truncate(bytes);
    corpus
}

/// One sentence.
fn prose(vocabulary: &Vocabulary, random: &mut SplitMix64, out: &mut Vec<u8>) {
    let words = 4 + random.below(18);
    for word in 0..words {
        let text = vocabulary.pick(random);
        if word == 0 {
            out.extend_from_slice(text[..1].to_uppercase().as_bytes());
            out.extend_from_slice(&text.as_bytes()[1..]);
        } else {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(match (word + 1 == words, random.below(12)) {
            (true, 0) => b".\n\n",
            (true, _) => b". ",
            (false, 0) => b", ",
            (false, _) => b" ",
        });
    }
}

/// One line of a server's log.
pub(super) fn log(vocabulary: &Vocabulary, random: &mut SplitMix64, out: &mut Vec<u8>) {
    let level = ["INFO", "INFO", "INFO", "WARN", "ERROR", "DEBUG"][random.below(6)];
    let seconds = out.len() / 97 % 86_400;
    let line = format!(
        "2024-01-{:02}T{:02}:{:02}:{:02}Z {level} host{:02} {}[{}]: {} {} took {} ms, status {} from 10.{}.{}.{}\n",
        1 + out.len() / 500_000 % 28,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        random.below(24),
        ["httpd", "postgres", "cron", "sshd", "kernel"][random.below(5)],
        1000 + random.below(400),
        ["GET", "PUT", "POST", "LIST"][random.below(4)],
        format_args!("/{}/{}", vocabulary.pick(random), vocabulary.pick(random)),
        random.below(1000) * random.below(10),
        [200, 200, 200, 204, 301, 404, 500][random.below(7)],
        random.below(4),
        random.below(256),
        random.below(256),
    );
    out.extend_from_slice(line.as_bytes());
}

/// One row of a table.
fn table(vocabulary: &Vocabulary, random: &mut SplitMix64, out: &mut Vec<u8>) {
    let row = format!(
        "{},{},{:.4},{:.2},{},{}\n",
        out.len(),
        vocabulary.pick(random),
        random.unit(),
        random.unit() * 1000.0,
        random.below(2),
        ["red", "green", "blue", "grey"][random.below(4)],
    );
    out.extend_from_slice(row.as_bytes());
}

/// One binary record: a counter, a small signed delta, noise, and a run of zeros.
fn records(_vocabulary: &Vocabulary, random: &mut SplitMix64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(out.len() as u32).to_be_bytes());
    out.extend_from_slice(&(random.below(200) as i16 - 100).to_le_bytes());
    out.extend_from_slice(&random.next_u64().to_le_bytes());
    out.extend(std::iter::repeat_n(0, 2 + random.below(8)));
}
