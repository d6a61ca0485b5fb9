//! No rule of `DNS.md` is without a test that names it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The families of rules, by their letter, and how many each has: §2.1 to §2.5, §4.4, and §5.1 and §5.2.
const RULES: [(char, u32); 8] =
    [('T', 19), ('A', 23), ('N', 12), ('L', 7), ('M', 8), ('I', 19), ('H', 61), ('B', 31)];

/// Where the resolver is tested, below the package of the tests.
const PLACES: [&str; 7] = [
    "tests/all/adapters/names.rs",
    "tests/all/dns",
    "tests/all/driver/dns.rs",
    "src/dns_world",
    "src/dns_world.rs",
    "src/resolver_world",
    "src/resolver_world.rs",
];

fn files(place: PathBuf) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place];
    }
    let entries = fs::read_dir(&place).expect("the place is there");
    entries.flat_map(|entry| files(entry.expect("an entry can be read").path())).collect()
}

/// The words of a test's name, and those of the texts that assertions are made with.
fn words(source: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("//") {
            continue;
        }
        if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = name.split('(').next().unwrap_or_default();
            words.extend(name.split('_').map(str::to_uppercase));
        }
        let texts = line.split('"').skip(1).step_by(2);
        words.extend(
            texts.flat_map(|text| text.split(|char: char| !char.is_ascii_alphanumeric())).map(str::to_owned),
        );
        is_test = line == "#[test]";
    }
    words
}

#[test]
fn every_rule_is_named_by_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = PLACES.into_iter().flat_map(|place| files(tests.join(place)));
    let named: BTreeSet<String> =
        files.flat_map(|path| words(&fs::read_to_string(path).expect("a source file can be read"))).collect();
    let all =
        RULES.into_iter().flat_map(|(letter, count)| (1..=count).map(move |rule| format!("{letter}{rule}")));
    let missing: Vec<String> = all.filter(|rule| !named.contains(rule)).collect();
    assert_eq!(missing, [""; 0], "named by no test");
}

#[test]
fn a_rule_in_a_comment_or_a_helper_is_not_named() {
    let named = words(
        "// T98\n#[test]\nfn t91_n92_x() {\nassert!(a, \"B93, H94: y\");\nfn m95_x() {}\nlet l96 = A97;",
    );
    let rules: Vec<&str> = named.iter().map(String::as_str).filter(|word| word.contains('9')).collect();
    assert_eq!(rules, ["B93", "H94", "N92", "T91"]);
}
