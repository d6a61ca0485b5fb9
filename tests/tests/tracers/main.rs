//! The probes before real tracers: what readelf lists, what gdb sees of a run whose every step is known, and
//! what the commands print that `tcp_echo_workload --probes` recommends.
//!
//! `.ci/run` installs them and runs this.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use qorb_examples::probes::one_liners;

/// Every probe, and its arguments as C has them.
const PROBES: [(&str, &str); 28] = [
    ("claim-start", "%s %lu"),
    ("claim-done", "%s %lu %lu"),
    ("claim-failed", "%s %lu %s"),
    ("claim-acquire-failed", "%s %lu %s"),
    ("claim-queued", "%s %lu %lu"),
    ("claim-cancelled", "%s %lu"),
    ("pool-claim-start", "%s %lu"),
    ("pool-claim-done", "%s %lu %lu"),
    ("pool-claim-failed", "%s %lu"),
    ("slot-set-claim-start", "%s %lu %s"),
    ("slot-set-claim-done", "%s %lu %lu"),
    ("slot-set-claim-failed", "%s %lu %s"),
    ("slot-set-online", "%s %s %lu"),
    ("slot-set-offline", "%s %s"),
    ("slot-state-change", "%s %s %lu %s %s %s"),
    ("handle-claimed", "%s %lu %lu %s"),
    ("handle-returned", "%s %lu"),
    ("connect-start", "%s %lu %s"),
    ("connect-done", "%s %lu %s"),
    ("connect-failed", "%s %lu %s %s"),
    ("health-check-start", "%s %lu %s"),
    ("health-check-done", "%s %lu"),
    ("health-check-failed", "%s %lu %s"),
    ("recycle-start", "%s %lu %s"),
    ("recycle-done", "%s %lu"),
    ("recycle-failed", "%s %lu %s"),
    ("rebalance-start", "%s"),
    ("rebalance-done", "%s"),
];

/// What a run of the example with two claims does, but for when it plans. Behind the states are the backend's
/// slots: connecting, unclaimed, checking, claimed.
const BEGINNING: &str = "
slot-state-change play 127.0.0.1:9 1 Terminated Connecting 1 0 0 0
connect-start play 1 127.0.0.1:9
connect-failed play 1 127.0.0.1:9 Error
slot-state-change play 127.0.0.1:9 1 Connecting Terminated 0 0 0 0
slot-state-change play 127.0.0.1:9 2 Terminated Connecting 1 0 0 0
connect-start play 2 127.0.0.1:9
connect-done play 2 127.0.0.1:9
slot-state-change play 127.0.0.1:9 2 Connecting ConnectedUnclaimed 1 1 0 0
slot-set-online play 127.0.0.1:9 1
slot-state-change play 127.0.0.1:9 3 Terminated Connecting 1 1 0 0
connect-start play 3 127.0.0.1:9
connect-done play 3 127.0.0.1:9
slot-state-change play 127.0.0.1:9 3 Connecting ConnectedUnclaimed 0 2 0 0
claim-start play 1
pool-claim-start play 1
slot-set-claim-start play 1 127.0.0.1:9
slot-state-change play 127.0.0.1:9 3 ConnectedUnclaimed ConnectedClaimed 0 1 0 1
handle-claimed play 1 3 127.0.0.1:9
slot-set-claim-done play 1 3
pool-claim-done play 1 3
claim-done play 1 3
recycle-start play 3 127.0.0.1:9
recycle-done play 3
handle-returned play 3
slot-state-change play 127.0.0.1:9 3 ConnectedClaimed ConnectedUnclaimed 0 2 0 0
claim-start play 2
pool-claim-start play 2
slot-set-claim-start play 2 127.0.0.1:9
slot-state-change play 127.0.0.1:9 3 ConnectedUnclaimed ConnectedClaimed 0 1 0 1
handle-claimed play 2 3 127.0.0.1:9
slot-set-claim-done play 2 3
pool-claim-done play 2 3
claim-done play 2 3
recycle-start play 3 127.0.0.1:9
handle-returned play 3
slot-state-change play 127.0.0.1:9 3 ConnectedClaimed ConnectedRecycling 0 1 1 0
recycle-done play 3
slot-state-change play 127.0.0.1:9 3 ConnectedRecycling ConnectedUnclaimed 0 2 0 0
claim-start play 3
pool-claim-start play 3
slot-set-claim-start play 3 127.0.0.1:9
slot-state-change play 127.0.0.1:9 3 ConnectedUnclaimed ConnectedClaimed 0 1 0 1
handle-claimed play 3 3 127.0.0.1:9
slot-set-claim-done play 3 3
pool-claim-done play 3 3
claim-done play 3 3
claim-start play 4
pool-claim-start play 4
slot-set-online play 127.0.0.1:9 0
slot-set-claim-start play 4 127.0.0.1:9
slot-state-change play 127.0.0.1:9 2 ConnectedUnclaimed ConnectedClaimed 0 0 0 2
handle-claimed play 4 2 127.0.0.1:9
slot-set-claim-done play 4 2
pool-claim-done play 4 2
claim-done play 4 2
claim-start play 5
pool-claim-start play 5
pool-claim-failed play 5
claim-queued play 5 1
claim-failed play 5 AllClaimsUsed
recycle-start play 3 127.0.0.1:9
recycle-done play 3
handle-returned play 3
slot-set-online play 127.0.0.1:9 1
slot-state-change play 127.0.0.1:9 3 ConnectedClaimed ConnectedUnclaimed 0 1 0 1
recycle-start play 2 127.0.0.1:9
recycle-failed play 2 Error
handle-returned play 2
";

/// And after that, when one connection is closed and another checked at the same time: what each slot does.
const ENDS: [&str; 3] = [
    "
slot-state-change play 127.0.0.1:9 2 ConnectedClaimed Terminated
",
    "
slot-state-change play 127.0.0.1:9 3 ConnectedUnclaimed ConnectedChecking
health-check-start play 3 127.0.0.1:9
health-check-done play 3
slot-state-change play 127.0.0.1:9 3 ConnectedChecking ConnectedUnclaimed
slot-state-change play 127.0.0.1:9 3 ConnectedUnclaimed Terminated
",
    "
slot-state-change play 127.0.0.1:9 4 Terminated Connecting
connect-start play 4 127.0.0.1:9
connect-done play 4 127.0.0.1:9
slot-state-change play 127.0.0.1:9 4 Connecting ConnectedUnclaimed
slot-state-change play 127.0.0.1:9 4 ConnectedUnclaimed Terminated
",
];

/// Builds an example, and says where it is.
fn example(name: &str, profile: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let arguments = ["build", "-q", "-p", "qorb-examples", "--profile", profile, "--example", name];
    assert!(cargo.args(arguments).status().expect("it runs").success());
    let folder = if profile == "dev" { "debug" } else { profile };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
    target.join(folder).join("examples").join(name)
}

/// What a command prints on standard output.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}: .ci/run installs it"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_probe_is_in_the_program() {
    let notes = output(Command::new("readelf").arg("-n").arg(example("probes", "release")));
    let mut found: Vec<_> = notes
        .split("Provider: qorb\n")
        .skip(1)
        .filter_map(|note| note.lines().next()?.trim().strip_prefix("Name: "))
        .collect();
    found.sort_unstable();
    found.dedup();
    let mut named = PROBES.map(|(name, _)| name);
    named.sort_unstable();
    assert_eq!(found, named);
}

/// What gdb sees that looks for some of the probes, a line for each that fires, without those of plans. JSON is
/// told by its numbers.
fn seen(runtime: &str, probes: &[(&str, &str)]) -> Vec<String> {
    let mut script = String::from("set language c\nset width 0\n");
    for (name, format) in probes {
        let arguments: Vec<_> =
            format.split(' ').enumerate().map(|(index, of)| argument(index, of)).collect();
        let arguments = arguments.join(", ");
        script += &format!("break -probe-stap qorb:{name}\ncommands\nsilent\n");
        script += &format!("printf \"@{name} {format}\\n\", {arguments}\ncontinue\nend\n");
    }
    script += "run\n";
    let script_of = format!("probes-{runtime}-{}.gdb", probes.len());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(script_of);
    std::fs::write(&path, script).expect("it can be written");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-x"]).arg(&path).arg("--args").arg(example("probes", "release"));
    let told = output(gdb.args(["--claims", "2", "--runtime", runtime]));
    assert!(told.contains("exited normally"), "{told}");
    let lines = told.lines().filter_map(|line| line.strip_prefix('@'));
    let lines = lines.filter(|line| !line.starts_with("rebalance-"));
    lines
        .map(|line| line.replace(r#"{"ok":{"connecting_slots":"#, "").replace("}}", ""))
        .map(counts)
        .collect()
}

fn argument(index: usize, format: &str) -> String {
    let kind = if format == "%s" { "char *" } else { "unsigned long" };
    format!("({kind})$_probe_arg{index}")
}

/// The numbers alone of what follows of a JSON object.
fn counts(line: String) -> String {
    ["unclaimed", "checking", "claimed"]
        .iter()
        .fold(line, |line, kind| line.replace(&format!(r#","{kind}_slots":"#), " "))
}

fn gdb_sees_the_run(runtime: &str) {
    let seen = seen(runtime, &PROBES);
    let beginning: Vec<_> = BEGINNING.trim().lines().collect();
    let (first, rest) = seen.split_at(seen.len().min(beginning.len()));
    assert_eq!(first.join("\n"), beginning.join("\n"));
    for (slot, end) in (2..).zip(ENDS) {
        let number = |line: &String| line.split(' ').find_map(|word| word.parse::<u64>().ok());
        let of_slot = rest.iter().filter(|line| number(line) == Some(slot));
        let of_slot: Vec<_> = of_slot.filter(|line| !line.starts_with("slot-set-")).collect();
        let told = of_slot.iter().map(|line| end.trim().lines().find(|known| line.starts_with(known)));
        assert_eq!(
            told.map(Option::unwrap_or_default).collect::<Vec<_>>(),
            end.trim().lines().collect::<Vec<_>>()
        );
    }
    assert_eq!(rest.last().map(String::as_str), Some("slot-set-offline play 127.0.0.1:9"));
}

#[test]
fn gdb_sees_every_step_of_a_known_run_on_tokio() {
    gdb_sees_the_run("tokio");
}

#[test]
fn gdb_sees_every_step_of_a_known_run_on_smol() {
    gdb_sees_the_run("smol");
}

#[test]
fn a_tracer_of_one_probe_alone_sees_all_of_it() {
    let mut probes = 0;
    for probe in PROBES {
        let of_it = |line: &&str| line.split(' ').next() == Some(probe.0);
        let beginning: Vec<_> = BEGINNING.trim().lines().filter(of_it).collect();
        if !beginning.is_empty() {
            let seen = seen("tokio", &[probe]);
            assert_eq!(seen[..seen.len().min(beginning.len())], beginning);
            probes += 1;
        }
    }
    assert_eq!(probes, 19, "among them all whose firing is decided for all together");
}

/// A program that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "whoever runs it sees what was not done")]
fn the_commands_that_are_recommended_show_claims_and_how_long_they_are_held() {
    let binary = example("quickstart", "dev");
    let mut quickstart = Command::new(&binary);
    let quickstart = quickstart.args(["--for", "120s", "--hold", "20ms"]).stdout(Stdio::piped());
    let mut running = Running(quickstart.spawn().expect("it was built"));
    let mut lines = BufReader::new(running.0.stdout.take().expect("it is a pipe")).lines();
    let at_work = lines.any(|line| line.expect("it is text").contains("claims/s"));
    assert!(at_work);
    let commands = one_liners(&binary, running.0.id());
    let commands: Vec<_> = commands.lines().filter(|line| !line.starts_with('#')).collect();
    let [list, names, claims, gdb, held] = commands[..] else { panic!("{commands:#?}") };
    let run = |command: &str| {
        output(Command::new("timeout").args([
            "-s",
            "INT",
            "10",
            "sh",
            "-c",
            &format!("exec 2>&1; {command}"),
        ]))
    };
    assert!(run(list).contains("handle-claimed"));
    let printed = run(gdb);
    assert!(printed.contains("quickstart 1") && printed.contains("[::1]:"), "{printed}");
    if !run(r#"bpftrace -e 'BEGIN { printf("it works\n"); exit(); }'"#).contains("it works") {
        println!("bpftrace is not there, or not allowed to look: not tried");
        return;
    }
    assert!(run(names).contains("qorb:handle-claimed"));
    let printed = run(claims);
    assert!(printed.contains("[::1]:") || printed.contains("127.0.0.1:"), "{printed}");
    let printed = run(held);
    println!("{printed}");
    assert!(printed.contains("[16K, 32K)"), "held for 20 ms: {printed}");
}
