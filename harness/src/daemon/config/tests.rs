//! Claims about configurations: what is wrong is said with its key and a remedy.

use super::*;

fn parse(text: &str) -> Result<Config, InputError> {
    Config::parse(Path::new("c.toml"), text)
}

fn complaint(text: &str) -> String {
    parse(text).expect_err("wrong on purpose").to_string()
}

#[test]
fn the_default_file_says_what_holds_without_a_file() {
    assert_eq!(parse(DEFAULT), parse(""));
    // What is commented out in it can be taken in as it stands.
    let all: String = DEFAULT
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            // The one key that not every build has.
            Some(rest) if rest.starts_with("libvirt") && !libvirt::IS_BUILT_IN => String::new(),
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let all = parse(&all).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((all.guests.len(), all.trial.is_some(), all.policy), (3, true, PolicyKind::Predictive));
    assert_eq!(all.trial.expect("given").block_quanta, 300);
}

#[test]
fn nobody_is_moved_by_default() {
    let config = parse("").expect("nothing wrong");
    assert!(!config.act && config.nodes == Nodes::Within && !config.include_tcg);
    assert_eq!(config.policy, PolicyKind::LoadBalance);
}

#[test]
fn what_is_wrong_is_said_with_file_key_range_and_remedy() {
    let cases = [
        ("quantum_milliseconds = 1", "quantum_milliseconds: 1 is out of range; give 10 to 10000"),
        (
            "quantum = 5",
            "quantum: no key is called \"quantum\" here (line 1); choose one of: act, \
         quantum_milliseconds, model, cpus, cross_node, include_tcg, libvirt, resctrl, introspection, rescan_quanta, ledger, \
         watchdog_seconds, policy, journal, status, trial, guest",
        ),
        (
            "quantum_milliseconds = 1000\nwatchdog_seconds = 3",
            "watchdog_seconds: 3 is less than five quanta of 1000 ms; give more, or the daemon is ended for nothing",
        ),
        ("cpus = \"all\"", "cpus: \"all\" is no list of CPUs; write it as \"0-15,32-47\""),
        ("ledger = \"l\"", "ledger: \"l\" depends on where the daemon is started; give a path that begins with /"),
        (
            "[status]\naddress = \"0.0.0.0:80\"",
            "status.address: 0.0.0.0 is reachable from other machines; give a \
         loopback address, as 127.0.0.1, and a proxy of your own for others",
        ),
        (
            "[status]\naddress = \"localhost\"",
            "status.address: \"localhost\" is no address with a port; write it as \
         \"127.0.0.1:9917\" or \"[::1]:9917\"",
        ),
        (
            "[policy]\nkind = \"predictiv\"\n",
            "policy.kind: no policy is called \"predictiv\"; did you mean \
         \"predictive\"?",
        ),
        (
            "[policy]\nkind = \"random\"\n",
            "policy.kind: no policy is called \"random\"; choose one of: stay-put, \
         load-balance, di, brm, reactive, predictive",
        ),
        (
            "[policy]\nkind = \"reactive\"\n",
            "policy.kind: reactive needs to know phases; give a model, or choose one \
         of: stay-put, load-balance",
        ),
        ("[policy]\nmin_gain_share = 1.5", "policy.min_gain_share: 1.5 is out of range; give at least 0 and below 1"),
        ("[policy]\nmin_gain_share = nan", "policy.min_gain_share: NaN is out of range; give at least 0 and below 1"),
        ("[policy]\nmoves_per_vcpu_minute = -1.0", "policy.moves_per_vcpu_minute: -1 is out of range; give 0 to 60000"),
        ("[journal]\nfiles = 0", "journal.files: 0 is out of range; give 2 to 10000"),
        (
            "[trial]\nblock_seconds = 1.0",
            "trial.settle_seconds: 5 leaves fewer than two quanta of a block of 1 \
         seconds; give less, or longer blocks",
        ),
        ("[[guest]]\nexclude = true", "guest[0]: the key \"name\" is missing (near line 1); add name = ..."),
        ("[[guest]]\nname = \"\"", "guest[0].name: an empty name fits nobody; give a name, or * for all"),
        (
            "[[guest]]\nname = \"a\"\n[[guest]]\nname = \"b\"\npriority = 0.0",
            "guest[1].priority: 0 is out of range; give 0.01 to 100",
        ),
        (
            "[[guest]]\nname = \"a\"\nslowdown_target = 0.5",
            "guest[0].slowdown_target: 0.5 is out of range; give 1 to 100",
        ),
        (
            "[[guest]]\nname = \"a\"\nexclude = true\ndomain = 0",
            "guest[0].domain: who is left alone cannot be brought to a domain; leave out exclude or domain",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(complaint(text), format!("c.toml: {expected}"), "{text}");
    }
}

#[test]
fn the_first_rule_that_fits_counts() {
    let config = parse("[[guest]]\nname = \"db-1\"\npriority = 2.0\n[[guest]]\nname = \"db-*\"\nexclude = true");
    let config = config.expect("sound");
    assert_eq!(config.rule_for("db-1"), Rule { weight: 2.0, ..Rule::default() });
    assert_eq!(config.rule_for("db-2").whereabouts, Whereabouts::Excluded);
    assert_eq!(config.rule_for("web"), Rule::default());
}

#[test]
fn a_reload_can_stop_moving_and_never_start_it() {
    let [still, acting] = ["", "act = true"].map(|text| parse(text).expect("sound"));
    assert_eq!(still.needs_restart(&acting), ["act"]);
    assert_eq!(acting.needs_restart(&still), [""; 0]);
}

#[test]
fn address_spaces_are_asked_for_and_heeded_only_where_the_operator_says_so() {
    let of = |text: &str| {
        let config = Config::parse(Path::new("c.toml"), text).expect("it is right");
        (config.introspection, config.settings.forecaster)
    };
    assert_eq!(of(""), (false, ForecasterKind::Default));
    assert_eq!(of("introspection = true"), (true, ForecasterKind::ContextsSpaces));
}
