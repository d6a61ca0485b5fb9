//! The latest events of a machine, and the log they make.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::{fs, io};

use qorb_core::pool::{Action, Beginning, Event, PoolMachine};
use qorb_core::record::{Recorder, Ring};
use qorb_core::{Machine, Timestamp};

/// What a machine was told lately.
pub(crate) struct Recording {
    ring: Ring<PoolMachine>,
    /// Where to write it should a fault of ours come to light: the first one alone.
    faults: Option<PathBuf>,
    /// After so many more events the machine is recounted: as many as there are slots and backends. A recount
    /// takes the time of as many, so that all of them together cost no more than the events do.
    recount_in: usize,
    /// What came to light, until somebody tells people.
    pub(super) found: Option<String>,
}

impl Recording {
    pub(super) fn new(machine: &PoolMachine, events: usize, faults: Option<PathBuf>) -> Self {
        Self { ring: Ring::new(machine, events), faults, recount_in: 0, found: None }
    }

    pub(super) fn handle(
        &mut self,
        machine: &mut PoolMachine,
        now: Timestamp,
        event: Event,
        out: &mut Vec<Action>,
    ) {
        self.ring.begins(now, &event);
        if self.ring.is_over() {
            self.fault("a panic");
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| machine.handle(now, event, out))) {
            self.fault("a panic");
            resume_unwind(panic);
        }
    }

    pub(super) fn is_obeyed(&mut self, machine: &PoolMachine) {
        self.ring.ended();
        if self.recount_in > 0 {
            self.recount_in -= 1;
        } else if self.faults.is_some() {
            self.recount_in = machine.census().map(|backend| 1 + backend.counts.total() as usize).sum();
            if let Err(breach) = machine.audit() {
                self.fault(&breach);
            }
        }
    }

    /// Writes down what led to a fault, the first one that there is.
    #[cold]
    fn fault(&mut self, what: &str) {
        let Some(path) = self.faults.take() else { return };
        let told = match self.snapshot().log().and_then(|log| fs::write(&path, log)) {
            Ok(()) => format!("what led to it is in {}", path.display()),
            Err(error) => format!("what led to it is not in {}: {error}", path.display()),
        };
        self.found = Some(format!("{what}; {told}"));
    }

    /// All that is remembered now, to be written later.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.ring.clone())
    }
}

/// What was remembered at some time.
pub(crate) struct Snapshot(Ring<PoolMachine>);

impl Snapshot {
    /// As a log.
    pub(crate) fn log(self) -> io::Result<String> {
        let (machine, events) = self.0.into_parts();
        let beginning = Beginning::state(machine);
        let mut recorder = Recorder::<PoolMachine>::new(beginning).map_err(io::Error::other)?;
        let mut out = Vec::new();
        // The last event may be the one that the machine does not survive; it is in the log by then.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for (now, event) in events {
                recorder.handle(now, event, &mut out);
                out.clear();
            }
        }));
        Ok(recorder.log())
    }
}

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::path::Path;

    use qorb_core::dice::Dice;
    use qorb_core::pool::{ClaimId, Policy};

    use super::super::Told;
    use super::*;

    /// A pool without backends in which one claim waits, and the file for its faults.
    fn told(name: &str) -> (Told, PathBuf) {
        let path = temp_dir().join(format!("qorb-{name}-{}.log", std::process::id()));
        // What an earlier run left there.
        let _ = fs::remove_file(&path);
        let machine = PoolMachine::new(Policy::default(), &Dice::Seeded(1), Timestamp::from_millis(0))
            .expect("it works");
        let mut told = Told::new(machine);
        told.record(100, Some(path.clone()));
        tell(&mut told, Event::Claim { claim: ClaimId(0), deadline: Timestamp::NEVER });
        (told, path)
    }

    fn tell(told: &mut Told, event: Event) {
        told.handle(Timestamp::from_millis(0), event, &mut Vec::new());
        told.is_obeyed();
    }

    fn log(path: &Path) -> String {
        let log = fs::read_to_string(path).expect("it was written");
        fs::remove_file(path).expect("it is there");
        log
    }

    #[test]
    fn a_panic_leaves_a_log_that_ends_with_what_led_to_it() {
        let (mut told, path) = told("panic");
        assert!(!path.exists(), "nothing is wrong yet");
        let fetched = Event::Fetched(ClaimId(0));
        catch_unwind(AssertUnwindSafe(|| tell(&mut told, fetched))).expect_err("it has no connection");
        let log = log(&path);
        assert!(log.ends_with("0 fetched c0\nend 2\n"), "{log}");
        // Only the first one is written.
        tell(&mut told, Event::Tick);
        assert!(!path.exists());
    }

    #[test]
    fn a_breach_leaves_a_log() {
        let (told, path) = told("breach");
        let sound = serde_json::to_string(&*told).expect("a state is text");
        let breached = sound.replacen(r#""sound_online":0"#, r#""sound_online":1"#, 1);
        let mut told =
            Told::new(serde_json::from_str(&breached).expect("it is a state, though not a sound one"));
        told.record(100, Some(path.clone()));
        tell(&mut told, Event::Tick);
        let said = told.breach().expect("it was found");
        assert!(said.starts_with("C13") && said.contains("what led to it is in"), "{said}");
        let log = log(&path);
        assert!(log.contains(r#""sound_online":1"#) && log.ends_with("end 1\n"), "{log}");
    }
}
