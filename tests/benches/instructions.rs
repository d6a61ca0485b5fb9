//! Instructions that one claim and its release cost, in the pool machine and through the whole driver, and those
//! that the resolver machine needs for an answer, counted by callgrind.
//!
//! A count does not depend on what else the computer does, so it can be guarded: this program
//! compares the counts with those committed in `instructions.txt`, and fails when one has grown by more
//! than 5 %, or when the machine's are not flat over the number of backends and slots. With `--write` it
//! writes the file instead.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::pin::pin;
use std::process::{Command, ExitCode};
use std::task::{Context, Poll, Waker};

use hickory_proto::op::Message;
use qorb_core::dice::Dice;
use qorb_core::dns;
use qorb_core::pool::{Action, ClaimId, Event, Policy, PoolMachine, Return, SetConfig};
use qorb_core::{Backend, Machine, Timestamp};
use qorb_tests::dns_world::{Asked, SERVICE, Zone, host, srv};
use qorb_tokio::{Connector, FixedResolver, Handle, Pool};

/// What is counted, by the name it has in the file.
#[derive(Clone, Copy)]
enum Case {
    /// A claim and a release, as events of a machine with so many backends and slots.
    Machine(usize, usize),
    /// A claim that finds a connection, and the drop of its handle.
    Alone,
    /// A claim that waits until another one's handle is dropped.
    InTurns,
    /// An answer to a resolver, of so many records of services, and of so many addresses that come along.
    Answer(u16, u16),
}

const CASES: [Case; 10] = [
    Case::Machine(1, 16),
    Case::Machine(100, 16),
    Case::Machine(10_000, 16),
    Case::Machine(1, 10_000),
    Case::Machine(100, 10_000),
    Case::Machine(10_000, 10_000),
    Case::Alone,
    Case::InTurns,
    Case::Answer(10, 10),
    Case::Answer(1000, 0),
];
const CYCLES: u64 = 1000;
const SLOTS: usize = 16;
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// How much a count may grow before somebody has to say so by committing it.
const GROWTH: f64 = 1.05;
/// How far the counts of machines of different sizes may be apart.
const FLAT: f64 = 1.3;

impl Case {
    fn name(self) -> String {
        match self {
            Self::Machine(backends, slots) => format!("machine, {backends} backends, {slots} slots"),
            Self::Alone => "driver, a connection rests".to_owned(),
            Self::InTurns => "driver, every claim waits".to_owned(),
            Self::Answer(services, addresses) => {
                format!("resolver, {services} SRV and {addresses} A in one answer")
            }
        }
    }

    /// How often it is done while it is counted.
    fn cycles(self) -> u64 {
        match self {
            Self::Machine(..) | Self::Alone | Self::InTurns => CYCLES,
            Self::Answer(..) => 1,
        }
    }

    fn run(self) {
        match self {
            Self::Machine(backends, slots) => machine(backends, slots),
            Self::Alone => driver(|pool| {
                claim_alone(pool, 100);
                measured(|| claim_alone(pool, CYCLES));
            }),
            Self::InTurns => driver(|pool| {
                let mut held = (0..SLOTS).map(|_| granted(pool)).collect();
                claim_in_turns(pool, &mut held, 100);
                measured(|| claim_in_turns(pool, &mut held, CYCLES));
            }),
            Self::Answer(services, addresses) => answer(services, addresses),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--worker") {
        CASES[arguments[at + 1].parse::<usize>().expect("a number")].run();
        return ExitCode::SUCCESS;
    }
    let counted = count_all();
    let mut table = String::from("# instructions per claim and release, and per answer\n");
    for (case, instructions) in &counted {
        let _ = writeln!(table, "{instructions:5}  {}", case.name());
    }
    report(&table);
    if arguments.iter().any(|argument| argument == "--write") {
        std::fs::write(COUNTS, table).expect("the counts can be written");
        return ExitCode::SUCCESS;
    }
    verdict(&counted)
}

fn verdict(counted: &[(Case, u64)]) -> ExitCode {
    let known = std::fs::read_to_string(COUNTS).expect("the committed counts can be read");
    let mut fine = true;
    for (line, (case, now)) in known.lines().skip(1).zip(counted) {
        let before: u64 =
            line.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a count");
        if *now as f64 > before as f64 * GROWTH {
            report(&format!("{}: {now} instructions, {before} before\n", case.name()));
            fine = false;
        }
    }
    let machines = counted.iter().filter(|(case, _)| matches!(case, Case::Machine(..)));
    let counts = || machines.clone().map(|(_, count)| *count as f64);
    let (least, most) = (counts().fold(f64::MAX, f64::min), counts().fold(0.0, f64::max));
    if most > least * FLAT {
        report(&format!("not flat: {least} to {most} instructions\n"));
        fine = false;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Counts every case, each in a process of its own, all at once: nobody's count depends on the others.
fn count_all() -> Vec<(Case, u64)> {
    std::thread::scope(|scope| {
        let counts: Vec<_> = (0..CASES.len()).map(|index| scope.spawn(move || count(index))).collect();
        let counts = counts.into_iter().map(|count| count.join().expect("it was counted"));
        CASES.into_iter().zip(counts).collect()
    })
}

/// Runs a case under callgrind and reads how many instructions the measured part took.
fn count(case: usize) -> u64 {
    let file = std::env::temp_dir().join(format!("qorb-instructions-{}-{case}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*instructions*measured*", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe().expect("a program knows where it is"))
        .args(["--worker", &case.to_string()])
        .status()
        .expect("valgrind can be started: install it");
    assert!(status.success(), "valgrind failed: {status}");
    let profile = std::fs::read_to_string(&file).expect("callgrind wrote its profile");
    let _ = std::fs::remove_file(&file);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ")).expect("a total");
    total.trim().parse::<u64>().expect("a number") / CASES[case].cycles()
}

/// What happens in here is counted.
#[inline(never)]
fn measured(run: impl FnOnce()) {
    run();
}

fn machine(backends: usize, slots: usize) {
    let mut machine = machine_of(backends, slots);
    let mut out = Vec::with_capacity(64);
    // The first cycles open what the claims add to demand.
    for cycle in 0..10 {
        claim_and_release(&mut machine, cycle, &mut out);
        settle_connects(&mut machine, &mut out);
    }
    measured(|| {
        for cycle in 0..CYCLES {
            claim_and_release(&mut machine, 10 + cycle, &mut out);
            out.clear();
        }
    });
    black_box(&machine);
}

/// A resolver reads the first answer that it ever gets, publishes what that says, and asks for the rest.
fn answer(services: u16, addresses: u16) {
    let config = dns::Config { addresses: dns::Addresses::V4Only, ..dns::Config::default() };
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], 53));
    let machine = dns::Resolver::new("_echo._tcp.test.com.", &[server], config, [1; 32], Timestamp::EPOCH);
    let (mut machine, mut out) = (machine.expect("a valid name"), Vec::new());
    machine.handle(Timestamp::EPOCH, dns::Event::Tick, &mut out);
    let asked = out.drain(..).find_map(|action| match action {
        dns::Action::Ask { query, message, .. } => Some((query, message)),
        dns::Action::OpenStream { .. }
        | dns::Action::Send(..)
        | dns::Action::Forget(_)
        | dns::Action::Resolved(_)
        | dns::Action::Note(_) => None,
    });
    let (query, question) = asked.expect("it asks");
    let zone = (0..services).fold(Zone::of(0), |zone, number| {
        let target = format!("echo{number:04}.test.com.");
        let zone = zone.with(SERVICE, 60, srv(0, 0, 6000, &target));
        if number < addresses { zone.with(&target, 60, host([10, 0, 0, 1].into())) } else { zone }
    });
    let zone = zone.sending_along(addresses.into());
    let message = Message::from_vec(&question).expect("a question");
    let at = Timestamp::EPOCH;
    let asked = Asked { at, query, server, on_stream: false, message, bytes: question };
    let bytes = zone.answer(&asked).to_vec().expect("it can be encoded");
    let now = Timestamp::from_millis(1);
    measured(|| machine.handle(now, dns::Event::Datagram(query, bytes), &mut out));
    assert_eq!(machine.set().len(), usize::from(addresses));
    black_box(&machine);
}

#[inline(always)]
fn claim_and_release(machine: &mut PoolMachine, cycle: u64, out: &mut Vec<Action>) {
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

/// Connects at once, to nothing.
struct Nothing;

impl Connector for Nothing {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self, _: &Backend) -> Result<u64, Infallible> {
        Ok(7)
    }
}

/// Lets `work` have a pool whose connections all stand, in a task, which is how servers run it.
fn driver(work: impl FnOnce(&Pool<Nothing>) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let task = runtime.spawn(async {
        let policy = Policy { spares_wanted: SLOTS, max_slots: SLOTS, ..Policy::default() };
        let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
        let pool = Pool::new("counted", resolver, Nothing, policy).expect("a valid policy");
        pool.wait_ready(SLOTS).await.expect("connected");
        work(&pool);
    });
    runtime.block_on(task).expect("no task panics");
}

fn granted(pool: &Pool<Nothing>) -> Handle<Nothing> {
    let cx = &mut Context::from_waker(Waker::noop());
    match pin!(pool.claim()).poll(cx) {
        Poll::Ready(handle) => handle.expect("granted"),
        Poll::Pending => panic!("a connection rests"),
    }
}

fn claim_alone(pool: &Pool<Nothing>, cycles: u64) {
    for _ in 0..cycles {
        drop(black_box(granted(pool)));
    }
}

fn claim_in_turns(pool: &Pool<Nothing>, held: &mut VecDeque<Handle<Nothing>>, cycles: u64) {
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..cycles {
        let mut claim = pin!(pool.claim());
        assert!(claim.as_mut().poll(cx).is_pending(), "every connection is out");
        drop(held.pop_front());
        let Poll::Ready(handle) = claim.as_mut().poll(cx) else { panic!("one came back") };
        held.push_back(handle.expect("granted"));
    }
}

/// A machine whose connections all stand.
fn machine_of(backends: usize, slots: usize) -> PoolMachine {
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
