//! Instructions that one claim and its release cost in the pool machine, counted by callgrind.
//!
//! A count does not depend on what else the machine does, so it can be guarded: this program
//! compares the counts with those committed in `instructions.txt`, and fails when one has grown by more
//! than 5 %, or when they are not flat over the number of backends and slots. With `--write` it writes
//! the file instead.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use qorb_core::dice::Dice;
use qorb_core::pool::{Action, ClaimId, Event, Policy, PoolMachine, Return, SetConfig};
use qorb_core::{Backend, Machine, Timestamp};

/// Backends and slots of each run.
const SIZES: [(usize, usize); 6] =
    [(1, 16), (100, 16), (10_000, 16), (1, 10_000), (100, 10_000), (10_000, 10_000)];
const CYCLES: u64 = 1000;
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// How much a count may grow before somebody has to say so by committing it.
const GROWTH: f64 = 1.05;
/// How far the counts of different sizes may be apart.
const FLAT: f64 = 1.3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--worker") {
        let number = |offset: usize| arguments[at + offset].parse().expect("a number");
        work(number(1), number(2));
        return ExitCode::SUCCESS;
    }
    let counted: Vec<_> =
        SIZES.iter().map(|&(backends, slots)| (backends, slots, count(backends, slots))).collect();
    let mut table = String::from("# backends slots instructions-per-claim-and-release\n");
    for (backends, slots, instructions) in &counted {
        let _ = writeln!(table, "{backends} {slots} {instructions}");
    }
    report(&table);
    if arguments.iter().any(|argument| argument == "--write") {
        std::fs::write(COUNTS, table).expect("the counts can be written");
        return ExitCode::SUCCESS;
    }
    verdict(&counted)
}

fn verdict(counted: &[(usize, usize, u64)]) -> ExitCode {
    let known = std::fs::read_to_string(COUNTS).expect("the committed counts can be read");
    let mut fine = true;
    for (line, (backends, slots, now)) in known.lines().skip(1).zip(counted) {
        let before: u64 = line.split(' ').next_back().and_then(|count| count.parse().ok()).expect("a count");
        if *now as f64 > before as f64 * GROWTH {
            report(&format!("{backends} backends, {slots} slots: {now} instructions, {before} before\n"));
            fine = false;
        }
    }
    let counts = || counted.iter().map(|(.., count)| *count as f64);
    let (least, most) = (counts().fold(f64::MAX, f64::min), counts().fold(0.0, f64::max));
    if most > least * FLAT {
        report(&format!("not flat: {least} to {most} instructions\n"));
        fine = false;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs this program under callgrind and reads how many instructions the measured part took.
fn count(backends: usize, slots: usize) -> u64 {
    let file = std::env::temp_dir().join(format!("qorb-instructions-{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*claim_and_release*", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe().expect("a program knows where it is"))
        .args(["--worker", &backends.to_string(), &slots.to_string()])
        .status()
        .expect("valgrind can be started: install it");
    assert!(status.success(), "valgrind failed: {status}");
    let profile = std::fs::read_to_string(&file).expect("callgrind wrote its profile");
    let _ = std::fs::remove_file(&file);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ")).expect("a total");
    total.trim().parse::<u64>().expect("a number") / CYCLES
}

fn work(backends: usize, slots: usize) {
    let mut machine = pool(backends, slots);
    let mut out = Vec::with_capacity(64);
    // The first cycles open what the claims add to demand.
    for cycle in 0..10 {
        claim_and_release_once(&mut machine, cycle, &mut out);
        settle_connects(&mut machine, &mut out);
    }
    claim_and_release(&mut machine, &mut out);
    black_box(&machine);
}

#[inline(never)]
fn claim_and_release(machine: &mut PoolMachine, out: &mut Vec<Action>) {
    for cycle in 0..CYCLES {
        claim_and_release_once(machine, 10 + cycle, out);
        out.clear();
    }
}

#[inline(always)]
fn claim_and_release_once(machine: &mut PoolMachine, cycle: u64, out: &mut Vec<Action>) {
    let now = Timestamp::from_nanos(1_000_000_000 + cycle * 1000);
    machine.handle(now, Event::Claim { claim: ClaimId(0), deadline: Timestamp::NEVER }, out);
    let mut granted = None;
    for action in out.iter() {
        if let Action::Grant { slot, .. } = action {
            granted = Some(*slot);
        }
    }
    machine.handle(now, Event::Returned(granted.expect("granted at once"), Return::Intact), out);
}

/// A pool whose connections all stand.
fn pool(backends: usize, slots: usize) -> PoolMachine {
    let policy = Policy {
        spares_wanted: slots,
        max_slots: slots,
        set_config: SetConfig { max_count: usize::MAX, ..SetConfig::default() },
        ..Policy::default()
    };
    let mut machine = PoolMachine::new(policy, &Dice::Seeded(1), Timestamp::EPOCH).expect("a valid policy");
    let address = |number: usize| std::net::SocketAddr::from(([127, 0, 0, 1], 1 + number as u16));
    let set = (0..backends).map(|number| Backend::new(format!("b{number}"), address(number))).collect();
    let mut out = Vec::new();
    machine.handle(Timestamp::EPOCH, Event::Backends(set), &mut out);
    settle_connects(&mut machine, &mut out);
    machine
}

fn settle_connects(machine: &mut PoolMachine, out: &mut Vec<Action>) {
    let mut next = Vec::new();
    while !out.is_empty() {
        for action in out.drain(..) {
            if let Action::Connect(slot, _) = action {
                machine.handle(Timestamp::EPOCH, Event::Connected(slot, Ok(())), &mut next);
            } else if let Action::Close(slot) = action {
                machine.handle(Timestamp::EPOCH, Event::Closed(slot), &mut next);
            }
        }
        std::mem::swap(out, &mut next);
    }
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn report(text: &str) {
    print!("{text}");
}
