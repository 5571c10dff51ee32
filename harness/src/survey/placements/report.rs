//! From pairs in relations to what people read: the mean and the worst of each relation, and every pair.

use super::{Placed, Placements, Relation};
use crate::report::metrics::Spread;
use crate::report::text::{Align, Table, cell, csv, number};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

pub(super) fn render(found: &Placements) -> Vec<TextFile> {
    vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(found)),
        TextFile::new("placements.csv", table_for_programs(found)),
    ]
}

fn relations(found: &Placements) -> Vec<Relation> {
    Relation::ALL.into_iter().filter(|relation| !found.lacking.contains(relation)).collect()
}

fn of(found: &Placements, relation: Relation) -> Vec<&Placed> {
    found.placed.iter().filter(|placed| placed.relation == relation).collect()
}

fn summary(found: &Placements) -> String {
    let mut text = format!(
        "# Two guests ever further apart, on the simulated host\n\n{} quanta of {} M cycles each, machine {}, seed {}. **Arithmetic, not a \
         measurement**: a busy hardware thread of the same core makes everything take {} times as long, another node's memory makes waiting for it \
         {} times as long. [README.md](README.md) says what else; `placements.csv` has every pair.\n\n",
        found.quanta,
        found.quantum_cycles as f64 / 1e6,
        found.machine,
        found.seed,
        found.sibling_slowdown,
        1.0 + found.remote_share,
    );
    text += &by_relation(found).markdown();
    if !found.lacking.is_empty() {
        let names: Vec<&str> = found.lacking.iter().map(|relation| relation.name()).collect();
        text += &format!("\nThe machine does not have: {}.\n", names.join("; "));
    }
    text += "\n## Every pair\n\nSlowdown of the guest, by where it is from the one that it is beside.\n\n";
    text + &by_pair(found).markdown()
}

fn by_relation(found: &Placements) -> Table {
    let mut table = Table::new([
        ("relation", Align::Left),
        ("mean slowdown", Align::Right),
        ("least", Align::Right),
        ("most", Align::Right),
        ("throughput of two", Align::Right),
    ]);
    for relation in relations(found) {
        let placed = of(found, relation);
        let all: Vec<f64> = placed.iter().map(|placed| placed.slowdowns[1]).collect();
        let stp =
            Spread::of(&placed.iter().map(|placed| placed.slowdowns.iter().map(|s| 1.0 / s).sum()).collect::<Vec<_>>());
        let spread = Spread::of(&all);
        table.row([
            relation.name().to_owned(),
            number(spread.map(|spread| spread.mean), 3),
            number(spread.map(|spread| spread.least), 3),
            number(spread.map(|spread| spread.most), 3),
            number(stp.map(|stp| stp.mean), 3),
        ]);
    }
    table
}

fn by_pair(found: &Placements) -> Table {
    let relations = relations(found);
    let heads = relations.iter().map(|relation| (relation.name(), Align::Right));
    let mut table = Table::new([("guest", Align::Left), ("beside", Align::Left)].into_iter().chain(heads));
    let Some(first) = relations.first() else { return table };
    for (place, pair) in of(found, *first).iter().enumerate() {
        let slowdown =
            |relation: &Relation| number(of(found, *relation).get(place).map(|placed| placed.slowdowns[1]), 3);
        let names = [pair.kinds[1].clone(), pair.kinds[0].clone()];
        table.row(names.into_iter().chain(relations.iter().map(slowdown)));
    }
    table
}

fn table_for_programs(found: &Placements) -> String {
    let rows = found.placed.iter().map(|placed| {
        let [one, other] = placed.slowdowns.map(|slowdown| cell(Some(slowdown)));
        vec![placed.relation.name().to_owned(), placed.kinds[0].clone(), placed.kinds[1].clone(), one, other]
    });
    csv(&["relation", "first", "second", "slowdown_first", "slowdown_second"], rows)
}

pub(super) fn for_terminal(found: &Placements) -> String {
    by_relation(found).aligned()
}

pub(super) fn as_json(found: &Placements) -> serde_json::Value {
    let placed = found.placed.iter().map(|placed| {
        serde_json::json!({ "relation": placed.relation, "kinds": placed.kinds, "slowdowns": placed.slowdowns })
    });
    serde_json::json!({ "lacking": found.lacking, "placed": placed.collect::<Vec<_>>() })
}
