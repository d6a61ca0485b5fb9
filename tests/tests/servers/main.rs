//! The resolver among real DNS servers: hickory-dns, Knot and BIND, each started for the test, on both runtimes.
//!
//! `.ci/run` installs them and runs this. With `--nocapture` it prints a table: server, runtime, case, outcome,
//! time.
//!
//! - `program`: a server's process; `zone`: what it knows.
//! - `search`: a resolver at work, and what it has found.
//! - `answers`: what is found; `changes`: news, and records that expire; `troubles`: servers that do not answer.

mod answers;
mod changes;
mod program;
mod search;
mod troubles;
mod zone;

use std::future::Future;
use std::time::Duration;

use qorb_driver::Runtime as _;
use qorb_examples::Platform;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a test of each function with each server, on each runtime.
macro_rules! with_servers {
    ($($case:ident: $($server:ident),+;)+) => {
        $(mod $case {
            $(mod $server {
                #[test]
                fn on_tokio() {
                    super::super::$case::<qorb_examples::OnTokio>(crate::program::$server());
                }

                #[test]
                fn on_smol() {
                    super::super::$case::<qorb_examples::OnSmol>(crate::program::$server());
                }
            })+
        })+
    };
}
use with_servers;

/// Runs a test in its runtime, not for ever.
fn run<P: Platform, T>(test: impl Future<Output = T>) -> T {
    let limited = async {
        let runtime = P::Runtime::current().expect("the test runs in it");
        let late = async {
            P::pause(&runtime, PATIENCE).await;
            panic!("it took longer than {PATIENCE:?}");
        };
        smol::future::or(test, late).await
    };
    P::run(limited).expect("a runtime starts")
}

/// A row of the table.
#[expect(clippy::print_stdout, reason = "it is what one looks at")]
fn row<P: Platform>(server: &str, case: &str, outcome: &str, took: Duration) {
    let millis = took.as_secs_f64() * 1000.0;
    println!("| {server:7} | {:5} | {case:44} | {outcome:34} | {millis:9.1} ms", P::NAME);
}
