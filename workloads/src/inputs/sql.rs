//! SQL for a database in memory: a shop's orders, and a network of people and messages. Rows first, as a dump has them;
//! then indices, questions and changes, which work differently on caches.

use std::fmt::Write;

use super::corpus::Vocabulary;
use crate::random::SplitMix64;

/// Rows in one INSERT.
const ROWS: usize = 50;

/// About `bytes` of a shop: joins, sums by group, windows, changes of many rows.
pub(super) fn orders(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let vocabulary = Vocabulary::new(&mut random);
    let mut sql = String::from(
        "PRAGMA journal_mode = OFF;\n\
         CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT, since INTEGER);\n\
         CREATE TABLE item(id INTEGER PRIMARY KEY, title TEXT, price REAL, stock INTEGER);\n\
         CREATE TABLE line(id INTEGER PRIMARY KEY, customer INTEGER, item INTEGER, day INTEGER, amount INTEGER);\n\
         BEGIN;\n",
    );
    let (customers, items) = (bytes / 400, bytes / 900);
    insert(&mut sql, "customer", customers, |id| {
        let name = format!("{} {}", vocabulary.pick(&mut random), vocabulary.pick(&mut random));
        format!("({id},'{name}','{}',{})", vocabulary.pick(&mut random), random.below(4000))
    });
    insert(&mut sql, "item", items, |id| {
        let title = format!("{} {id}", vocabulary.pick(&mut random));
        format!("({id},'{title}',{}.{:02},{})", random.below(300), random.below(100), random.below(90))
    });
    let lines = bytes.saturating_sub(sql.len()) / 24;
    insert(&mut sql, "line", lines, |id| {
        // A few items sell well.
        let item = random.below(items) * random.below(items) / items;
        format!("({id},{},{item},{},{})", random.below(customers), random.below(730), 1 + random.below(9))
    });
    sql.push_str("COMMIT;\n");
    sql.push_str(include_str!("orders.sql"));
    sql.into_bytes()
}

/// About `bytes` of a network: paths and triangles, search in texts, JSON.
pub(super) fn network(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let vocabulary = Vocabulary::new(&mut random);
    let mut sql = String::from(
        "PRAGMA journal_mode = OFF;\n\
         CREATE TABLE knows(a INTEGER, b INTEGER, since INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID;\n\
         CREATE TABLE message(id INTEGER PRIMARY KEY, sender INTEGER, receiver INTEGER, body TEXT);\n\
         BEGIN;\n",
    );
    let people = bytes / 300;
    insert(&mut sql, "knows", 4 * people, |_| {
        // Most people know others near them, some know others far away.
        let a = random.below(people);
        let far = random.below(10) == 0;
        let b = if far { random.below(people) } else { (a + 1 + random.below(40)) % people };
        format!("({a},{b},{})", random.below(4000))
    });
    let mut messages = Vec::new();
    while sql.len() + messages.len() * 90 < bytes {
        let words: Vec<&str> = (0..4 + random.below(14)).map(|_| vocabulary.pick(&mut random)).collect();
        messages.push(format!("({},{},'{}')", random.below(people), random.below(people), words.join(" ")));
    }
    let mut rows = messages.iter().enumerate();
    insert(&mut sql, "message", messages.len(), |_| {
        rows.next().map(|(id, row)| format!("({id},{}", &row[1..])).unwrap_or_default()
    });
    sql.push_str("COMMIT;\n");
    sql.push_str(include_str!("network.sql"));
    sql.into_bytes()
}

/// Statements that insert `rows` rows, some at a time. A row that is there already is left as it is.
fn insert(sql: &mut String, table: &str, rows: usize, mut row: impl FnMut(usize) -> String) {
    for first in (0..rows).step_by(ROWS) {
        let values: Vec<String> = (first..rows.min(first + ROWS)).map(&mut row).collect();
        // Writing to a String does not fail.
        let _ = writeln!(sql, "INSERT OR IGNORE INTO {table} VALUES {};", values.join(","));
    }
}
