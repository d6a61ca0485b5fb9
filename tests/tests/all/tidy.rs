//! The house rules that a program can check.

use std::fs;
use std::path::{Path, PathBuf};

use qorb_examples::probes;

/// The longest file and the longest function, in lines. A table of cases may be longer than a function.
const FILE: usize = 500;
const FUNCTION: usize = 70;
const TABLES: [&str; 1] = ["meanings"];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a folder of the workspace").to_owned()
}

/// Every file below the root whose name ends so, but for what is built and what is hidden.
fn paths(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) && !name.starts_with("scratch_") {
                found.push(path);
            }
        }
    }
    found
}

/// Every source file, by its path below the root, and its text.
fn sources() -> Vec<(String, String)> {
    let read = |path: PathBuf| {
        let below = path.strip_prefix(root()).expect("it is below the root").display().to_string();
        (below, fs::read_to_string(&path).expect("a source file can be read"))
    };
    paths(".rs").into_iter().map(read).collect()
}

#[test]
fn no_file_outgrows_its_story() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= FILE, "{path} has {lines} lines: split it");
    }
}

#[test]
fn every_function_fits_a_screen() {
    for (path, text) in sources() {
        let mut open: Option<(usize, String, usize)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = line.trim_start().split("fn ").next().is_some_and(|before| {
                let word =
                    |word: &str| ["", "pub", "pub(crate)", "pub(super)", "async", "const"].contains(&word);
                line.contains("fn ") && before.split(' ').all(word)
            });
            if starts {
                let name = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
                open = Some((number, name.unwrap_or_default().to_owned(), indent));
            } else if let Some((from, name, at)) = &open
                && indent == *at
                && line.trim_start().starts_with('}')
            {
                let lines = number - from + 1;
                let table = TABLES.contains(&name.as_str());
                assert!(table || lines <= FUNCTION, "{path}: {name} has {lines} lines");
                open = None;
            }
        }
    }
}

#[test]
fn no_test_sleeps() {
    let forbidden = ["thread::sleep", "time::sleep(", "Timer::after("];
    for (path, text) in sources() {
        let folders = ["tests/tests", "tests/src", "qtop/tests", "examples/tests"];
        let tests = folders.iter().any(|folder| path.starts_with(folder)) || path.ends_with("/tests.rs");
        let speaks_of_it = path.ends_with("tidy.rs");
        let sleeps = forbidden.iter().find(|call| text.contains(*call));
        assert!(!tests || speaks_of_it || sleeps.is_none(), "{path} sleeps: {sleeps:?}");
    }
}

#[test]
fn only_one_file_of_the_core_names_hickory() {
    for (path, text) in sources() {
        let core = path.starts_with("core/");
        let named = text.contains("hickory_proto::");
        assert!(!core || !named || path == "core/src/dns/wire.rs", "{path} names hickory_proto");
    }
}

#[test]
fn only_the_adapters_name_a_runtime() {
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("core/")) {
        for runtime in ["tokio::", "smol::", "async_io::"] {
            let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert_eq!(code.find(|line| line.contains(runtime)), None, "{path} names a runtime");
        }
    }
}

#[test]
fn unsafe_code_is_allowed_in_the_probes_alone() {
    for (path, text) in sources() {
        let allows = text.contains(concat!("allow(", "unsafe_code"));
        assert!(!allows || path == "core/driver/src/probes.rs", "{path} allows unsafe code");
    }
}

#[test]
fn every_rule_of_the_contract_is_named_where_it_is_checked() {
    let checks: String = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("tests/") || path == "core/src/pool/audit.rs")
        .map(|(_, text)| text)
        .collect();
    for rule in 1..=13 {
        assert!(
            checks.contains(&format!("C{rule}: ")) || checks.contains(&format!("\"C{rule}\"")),
            "C{rule}"
        );
    }
}

#[test]
fn every_scenario_is_named_by_a_test() {
    let tests: String = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("tests/tests"))
        .map(|(_, text)| text)
        .collect();
    for number in 1..=44 {
        let named =
            tests.contains(&format!("fn s{number:02}_")) || tests.contains(&format!("_s{number:02}_"));
        assert!(named, "no test is named after scenario {number}");
    }
}

#[test]
fn no_snapshot_is_left_unreviewed() {
    for ending in [".snap.new", ".pending-snap"] {
        assert_eq!(paths(ending), Vec::<PathBuf>::new());
    }
}

#[test]
fn the_snippets_of_the_readme_are_the_files_they_come_from() {
    let readme = fs::read_to_string(root().join("README.adoc")).expect("there is a readme");
    let mut snippets = 0;
    for block in readme.split("// file: ").skip(1) {
        let (path, rest) = block.split_once('\n').expect("a path on a line of its own");
        let snippet = rest.split("----\n").nth(1).expect("a block between two lines of dashes");
        let file = fs::read_to_string(root().join(path)).expect("the file that is shown exists");
        assert_eq!(snippet, file, "README.adoc shows another {path}");
        snippets += 1;
    }
    assert!(snippets > 0);
}

#[test]
fn the_tracers_commands_of_the_readme_are_those_that_programs_print() {
    let readme = fs::read_to_string(root().join("README.adoc")).expect("there is a readme");
    for (tag, printed) in
        [("linux", probes::on_linux(&"BINARY", &"PID")), ("dtrace", probes::with_dtrace(&"PID"))]
    {
        let shown = format!("// tag::{tag}[]\n----\n{printed}----\n// end::{tag}[]\n");
        assert!(readme.contains(&shown), "README.adoc does not show\n{shown}");
    }
}

#[test]
fn every_file_that_the_readme_names_exists() {
    let readme = fs::read_to_string(root().join("README.adoc")).expect("there is a readme");
    let quoted = readme.split('`').skip(1).step_by(2);
    for path in quoted.filter(|word| word.contains('/') && word.ends_with(".rs")) {
        assert!(root().join(path).exists(), "README.adoc names {path}");
    }
}

/// The lines of a patch's hunks that the file has before it is planted.
fn before(patch: &str) -> Vec<String> {
    let hunks = patch.split("\n@@ ").skip(1).map(|hunk| {
        let lines = hunk.lines().skip(1).filter(|line| !line.starts_with('+'));
        lines.map(|line| line.get(1..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
    });
    hunks.collect()
}

#[test]
fn every_fault_can_be_planted_and_names_a_test_that_exists() {
    let (mut planted, sources) = (0, sources());
    let tests: String = sources
        .iter()
        .filter(|(path, _)| path.starts_with("tests/tests"))
        .map(|(_, text)| text.as_str())
        .collect();
    for path in paths(".patch") {
        let patch = fs::read_to_string(&path).expect("a patch can be read");
        let line = |start: &str| patch.lines().find_map(|line| line.strip_prefix(start)).expect(start);
        for part in patch.split("\ndiff --git ").skip(1) {
            let file = part.lines().find_map(|line| line.strip_prefix("+++ b/")).expect("a file");
            let file = fs::read_to_string(root().join(file)).expect("the file exists");
            for lines in before(part) {
                assert!(file.contains(&lines), "{} does not fit:\n{lines}", path.display());
            }
        }
        let test = line("Found by: ").rsplit("::").next().expect("a path of modules");
        assert!(tests.contains(&format!("fn {test}()")), "{}: there is no test {test}", path.display());
        let why = patch.lines().any(|line| line.starts_with("Breaks: ") || line.starts_with("Says: "));
        assert!(why, "{} does not say how it is seen", path.display());
        planted += 1;
    }
    assert!(planted > 0, "faults are planted");
}
