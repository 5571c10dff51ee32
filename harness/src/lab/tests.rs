//! What the lab tells is understood, and what `ldd` says.

use std::io::Write;
use std::path::PathBuf;

use super::contents::libraries_in;
use super::outer::Lines;
use super::told::{Change, Record, Span, Told, plain};

#[test]
fn each_kind_of_line_is_understood() {
    let text = r#"{"kind":"progress","seconds":0.9,"text":"boot guest g0"}
{"kind":"verdict","seconds":1.0,"claim":"KVM is there","detail":"it \"is\"","holds":true}
{"kind":"seen","seconds":6.0,"guest":"g0","thread":105,"cpus":"0-3","since":0,"at":1795409036408}
{"kind":"ordered","seconds":6.0,"guest":"g0","thread":105,"cpus":"1,2","since":1,"at":2}
{"kind":"daemon","seconds":6.0,"number":1,"since":1,"at":2}
{"kind":"file","seconds":6.0,"name":"journal-000001.jsonl","line":"{\"header\":1}"}
{"kind":"end","seconds":6.0}
"#;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let mut lines = Lines::open(file.path()).expect("it is there");
    let (first, second) = text.split_at(100);
    file.write_all(first.as_bytes()).expect("written");
    assert_eq!(lines.arrived().expect("one line and a half").len(), 1);
    file.write_all(second.as_bytes()).expect("written");
    let told = lines.arrived().expect("the rest");
    assert!(matches!(&told[0], Told::Verdict { holds: true, detail, .. } if detail == "it \"is\""));
    assert_eq!(told.last(), Some(&Told::End {}));
    let mut record = Record::default();
    told.into_iter().for_each(|line| record.take(line));
    let change = Change { guest: "g0".to_owned(), thread: 105, cpus: "1,2".to_owned(), since: 1, at: 2 };
    assert_eq!((record.seen.len(), &record.ordered[..]), (1, &[change][..]));
    assert_eq!(record.daemons, [Span { number: 1, since: 1, at: 2 }]);
    assert_eq!(record.journal(1), Some("{\"header\":1}\n"));
    assert_eq!(record.journal(2), None);
}

#[test]
fn a_line_that_cannot_be_understood_is_quoted() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"{\"kind\":\"proGress\"}\n").expect("written");
    let problem = Lines::open(file.path()).expect("it is there").arrived().expect_err("no such kind");
    assert!(problem.contains("proGress"), "{problem}");
}

#[test]
fn a_files_name_stays_in_its_folder() {
    assert_eq!(plain("../../etc/passwd"), "_.._etc_passwd");
    assert_eq!(plain("journal-000001.jsonl"), "journal-000001.jsonl");
}

#[test]
fn libraries_are_those_that_have_a_file() {
    let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
    let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
    assert_eq!(libraries_in(said), Ok(expected.to_vec()));
    assert_eq!(libraries_in("\tstatically linked\n"), Ok(Vec::new()));
    assert_eq!(libraries_in("\tlibfoo.so.1 => not found\n"), Err("libfoo.so.1".to_owned()));
}
