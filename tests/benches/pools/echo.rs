//! Real requests: 64 bytes to one of three echo servers in a process of their own, and back.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use qorb_examples::EchoServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::contenders::{Contender, Each, Servers, Tcp, everybody, policy};
use super::report::{Column, Goal, Lane, Table};
use super::{Effort, SLOTS, multi};

const SERVERS: usize = 3;
const COLUMNS: [Column; 2] =
    [Column { name: "k requests/s", digits: 1 }, Column { name: "CPU/request, µs", digits: 1 }];

/// What the program does when it is started for its servers alone: it serves until nobody listens.
pub(crate) fn serve() -> io::Result<()> {
    let servers = (0..SERVERS).map(|_| EchoServer::start(([127, 0, 0, 1], 0).into()));
    let servers = servers.collect::<io::Result<Vec<_>>>()?;
    for server in &servers {
        writeln!(io::stdout(), "{}", server.address())?;
    }
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// The servers' process; it ends with this one.
struct Elsewhere {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Elsewhere {
    fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().expect("it is piped");
        let lines = io::BufReader::new(out).lines().take(SERVERS);
        let addresses =
            lines.map(|line| Ok(line?.parse().expect("an address"))).collect::<io::Result<_>>()?;
        Ok(Self { child, addresses })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// One request and its answer.
async fn request(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [7; 64];
    stream.write_all(&bytes).await?;
    stream.read_exact(&mut bytes).await?;
    Ok(())
}

/// A connection for each task, without a pool.
struct Direct {
    servers: Servers<Tcp>,
}

async fn ask_directly(direct: Arc<Direct>, stop: Arc<AtomicBool>) -> u64 {
    let mut stream = direct.servers.connect_in_turn().await.expect("connected");
    let mut requests = 0;
    while !stop.load(Ordering::Relaxed) {
        request(&mut stream).await.expect("answered");
        requests += 1;
    }
    requests
}

async fn ask<T: Contender<Connection = TcpStream>>(pool: Arc<T>, stop: Arc<AtomicBool>) -> u64 {
    let mut requests = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut held = pool.claim().await;
        request(&mut held).await.expect("answered");
        requests += 1;
    }
    requests
}

/// Lets tasks ask for so long; requests a second, and what they cost this process.
fn load<F>(runtime: &Runtime, tasks: usize, span: Duration, task: impl Fn(Arc<AtomicBool>) -> F) -> Vec<f64>
where
    F: Future<Output = u64> + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let (began, cpu) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..tasks).map(|_| runtime.spawn(task(Arc::clone(&stop)))).collect();
    runtime.block_on(async { tokio::time::sleep(span).await });
    stop.store(true, Ordering::Relaxed);
    let requests: u64 = tasks.into_iter().map(|task| runtime.block_on(task).expect("no task panics")).sum();
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), self::cpu() - cpu);
    vec![requests as f64 / seconds / 1e3, cpu * 1e6 / requests as f64]
}

/// Seconds of computing that this process has used, in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_the_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_the_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

struct Ask<'a> {
    runtime: &'a Arc<Runtime>,
    tasks: usize,
    span: Duration,
}

impl Each<TcpStream> for Ask<'_> {
    type Made = Lane;

    fn each<T: Contender<Connection = TcpStream>>(&mut self, name: &'static str, contender: T) -> Lane {
        let (runtime, tasks, span) = (Arc::clone(self.runtime), self.tasks, self.span);
        let contender = Arc::new(contender);
        Lane::new(name, move || load(&runtime, tasks, span, |stop| ask(Arc::clone(&contender), stop)))
    }
}

/// So many tasks, on 16 connections or on one each.
pub(crate) fn requests(effort: Effort, name: &'static str, tasks: usize, limit: f64) -> Table {
    let (runtime, elsewhere) = (multi(), Elsewhere::start().expect("the servers start"));
    let servers = Servers::new(Tcp, &elsewhere.addresses);
    let span = Duration::from_millis(effort.pick(200, 1000).into());
    let mut lanes = everybody(&runtime, &servers, SLOTS, &mut Ask { runtime: &runtime, tasks, span });
    let direct = Arc::new(Direct { servers });
    lanes.push(Lane::new("direct", move || {
        load(&runtime, tasks, span, |stop| ask_directly(Arc::clone(&direct), stop))
    }));
    let about = format!(
        "{tasks} tasks send 64 bytes to one of three echo servers by TCP and wait for the answer; 16 \
         connections, or one a task (direct)."
    );
    let table = Table::measure(name, about, &COLUMNS, effort.pick(3, 9) as usize, lanes);
    drop(elsewhere);
    table.goals(|table| {
        let ratio = |column| table.at("qorb, tokio", column) / table.at("direct", column);
        vec![
            Goal::at_least(limit, "requests/s / direct", ratio(0)),
            Goal::at_most(1.1, "CPU/request / direct", ratio(1)),
        ]
    })
}

/// How requests fared around the death of one of three servers.
struct Outcome {
    failed: u64,
    in_flight: u64,
    back: Duration,
}

/// One of three servers is gone for two seconds, while 16 tasks ask.
pub(crate) fn killed(effort: Effort) -> Table {
    let lane = Lane::new("qorb, tokio", || {
        let outcome = multi().block_on(kill_one());
        let beyond = outcome.failed.saturating_sub(outcome.in_flight);
        vec![beyond as f64, outcome.back.as_secs_f64()]
    });
    let columns = [
        Column { name: "failed requests beyond those in flight", digits: 0 },
        Column { name: "s until 25 % of the load", digits: 2 },
    ];
    let about = "One of three echo servers is killed for two seconds while 16 tasks ask, with the default \
                 checks: requests that fail beyond those it had in flight, and how long after its return it has a \
                 quarter of the load again.";
    let table = Table::measure("one killed", about, &columns, effort.pick(1, 5) as usize, vec![lane]);
    table.goals(|table| {
        vec![
            Goal::at_most(3.0, "failed requests beyond those in flight", table.at("qorb, tokio", 0)),
            Goal::at_most(3.0, "s until 25 % of the load", table.at("qorb, tokio", 1)),
        ]
    })
}

async fn kill_one() -> Outcome {
    let start = || EchoServer::start(([127, 0, 0, 1], 0).into()).expect("it starts");
    let mut echoes = [start(), start(), start()];
    let addresses = echoes.iter().map(EchoServer::address).collect::<Vec<_>>();
    let resolver = qorb_tokio::FixedResolver::new(addresses.iter().copied());
    let connector = qorb_tokio::TcpConnector::default();
    let pool = qorb_tokio::Pool::new("bench", resolver, connector, policy(SLOTS)).expect("a valid policy");
    pool.wait_ready(SLOTS).await.expect("connected");
    let (stop, failed, on_it) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let (answered, at_it) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let victim = addresses[0];
    let ask = || {
        let (pool, stop, failed) = (pool.clone(), Arc::clone(&stop), Arc::clone(&failed));
        let (on_it, answered, at_it) = (Arc::clone(&on_it), Arc::clone(&answered), Arc::clone(&at_it));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut stream) = pool.claim().await else { continue };
                let its = u64::from(stream.backend().address == victim);
                on_it.fetch_add(its, Ordering::Relaxed);
                let asked = request(&mut stream).await;
                on_it.fetch_sub(its, Ordering::Relaxed);
                if asked.is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                    at_it.fetch_add(its, Ordering::Relaxed);
                } else {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let tasks: Vec<_> = (0..16).map(|_| tokio::spawn(ask())).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let in_flight = on_it.load(Ordering::Relaxed);
    echoes[0].kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    echoes[0].revive().expect("its port is free");
    let revived = Instant::now();
    let back = loop {
        let (all, its) = (answered.load(Ordering::Relaxed), at_it.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let all = answered.load(Ordering::Relaxed) - all;
        let its = at_it.load(Ordering::Relaxed) - its;
        if its * 4 >= all || revived.elapsed() > Duration::from_secs(60) {
            break revived.elapsed();
        }
    };
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no task panics");
    }
    pool.terminate().await;
    Outcome { failed: failed.load(Ordering::Relaxed), in_flight, back }
}
