//! `phasecast place`: the problem in the documentation, what is wrong with others, and that its numbers add up.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

/// The problem that `docs/placement.md` shows.
fn documented() -> Value {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/placement.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let start = page.find("```json\n").expect("an example") + "```json\n".len();
    let length = page[start..].find("```").expect("its end");
    serde_json::from_str(&page[start..start + length]).expect("JSON")
}

fn place(problem: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("problem.json");
    std::fs::write(&file, problem).expect("written");
    let mut command = Command::cargo_bin("phasecast").expect("the command is built");
    let output = command.arg("place").arg(&file).args(arguments).output().expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("an end"), text(&output.stdout), text(&output.stderr))
}

fn answer(problem: &Value, arguments: &[&str]) -> Value {
    let (code, told, errors) = place(&problem.to_string(), &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&told).expect("JSON")
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut problem = documented();
    change(&mut problem);
    let (code, _, errors) = place(&problem.to_string(), &["--solver", "exact"]);
    assert_eq!(code, 2, "{errors}");
    errors
}

#[test]
fn both_solvers_part_chase_and_stream_and_their_numbers_add_up() {
    for arguments in [&["--solver", "exact"][..], &["--solver", "search"], &["--solver", "search", "--budget-ms", "20"]]
    {
        let told = answer(&documented(), arguments);
        let vcpus = told["vcpus"].as_array().expect("a list");
        assert_eq!(
            vcpus.iter().map(|vcpu| vcpu["name"].as_str().expect("a name")).collect::<Vec<_>>(),
            ["chase", "stream", "compute-0", "compute-1"]
        );
        assert_ne!(vcpus[0]["to"], vcpus[1]["to"], "{told}");
        let number = |value: &Value| value.as_f64().expect("a number");
        let weighted = |key: &str| {
            vcpus.iter().zip([2.0, 1.0, 1.0, 1.0]).map(|(vcpu, weight)| weight * number(&vcpu[key])).sum::<f64>()
        };
        assert!((number(&told["cost_before"]) - weighted("slowdown_before")).abs() < 1e-9, "{told}");
        let moves = vcpus.iter().zip([2.0, 1.0, 1.0, 1.0]).filter(|(vcpu, _)| vcpu["from"] != vcpu["to"]);
        let price = moves.map(|(_, weight)| weight * 0.02).sum::<f64>();
        assert!((number(&told["cost"]) - weighted("slowdown") - price).abs() < 1e-9, "{told}");
        assert!(number(&told["cost"]) < number(&told["cost_before"]));
        assert_eq!(told["after"]["moves"], 2);
        let mask = if vcpus[0]["to"] == "left" { json!([0, 1]) } else { json!([2, 3]) };
        assert_eq!(vcpus[0]["cpus"], mask);
    }
}

#[test]
fn the_table_says_why_each_goes_where_it_goes() {
    let (code, told, errors) = place(&documented().to_string(), &["--solver", "exact"]);
    assert_eq!(code, 0, "{errors}");
    assert!(told.contains("stays, relieved of stream") || told.contains("moves away from stream"), "{told}");
    assert!(told.contains("makes room for chase") && told.contains("moves: 2"), "{told}");
}

#[test]
fn the_search_says_the_same_every_time() {
    let problem = documented().to_string();
    let once = || place(&problem, &["--solver", "search", "--json"]);
    assert_eq!(once(), once());
}

#[test]
fn a_vcpu_that_does_not_run_yet_has_no_slowdown_before() {
    let mut problem = documented();
    problem["vcpus"][3].as_object_mut().expect("an object").remove("domain");
    let told = answer(&problem, &["--solver", "exact"]);
    assert_eq!((&told["cost_before"], &told["vcpus"][3]["slowdown_before"]), (&Value::Null, &Value::Null));
    assert_eq!(told["vcpus"][3]["from"], Value::Null);
}

#[test]
fn what_stands_in_the_way_is_named() {
    let errors = refusal(|problem| problem["domains"][1]["cpus"] = json!([2]));
    assert!(errors.contains("loosen capacity (constraints.overcommit)"), "{errors}");
    let errors = refusal(|problem| {
        problem["domains"][1]["node"] = json!(1);
        problem["vcpus"][2]["cpus"] = json!([0]);
        problem["vcpus"][3]["cpus"] = json!([2]);
    });
    assert!(errors.contains("within_a_node") && errors.contains("vcpus.cpus"), "{errors}");
}

#[test]
fn a_mistake_is_told_with_its_key_and_a_remedy() {
    let errors = refusal(|problem| problem["vcpus"][1]["wieght"] = json!(1));
    assert!(errors.contains("\"wieght\"") && errors.contains("did you mean \"weight\""), "{errors}");
    let errors = refusal(|problem| problem["vcpus"][1]["domain"] = json!("lft"));
    assert!(errors.contains("vcpus[1].domain") && errors.contains("did you mean \"left\""), "{errors}");
    let errors = refusal(|problem| problem["vcpus"][1]["weight"] = json!(0));
    assert!(errors.contains("vcpus[1].weight: is 0"), "{errors}");
    let errors = refusal(|problem| problem["vcpus"][1]["pressure"] = problem["vcpus"][0]["pressure"].clone());
    assert!(errors.contains("vcpus[1].demand") && errors.contains("one of pressure and demand"), "{errors}");
    let errors = refusal(|problem| problem["vcpus"][0]["name"] = json!("stream"));
    assert!(errors.contains("vcpus[1].name") && errors.contains("twice"), "{errors}");
    let errors = refusal(|problem| problem["migration"]["horizon_ms"] = json!(0));
    assert!(errors.contains("migration.horizon_ms"), "{errors}");
    let (code, _, errors) = place(&documented().to_string(), &["--solver", "exact", "--budget-ms", "5"]);
    assert_eq!(code, 2);
    assert!(errors.contains("--budget-ms"), "{errors}");
}
