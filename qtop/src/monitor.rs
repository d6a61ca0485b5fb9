//! The monitor on a screen: what comes from the server, the keys and the clock goes to the model, and what
//! that wishes for is done.

use std::time::{Duration, Instant};

use smol::channel::{Receiver, Sender, bounded};
use smol::future::race;
use smol::{Task, Timer};

use crate::address::Address;
use crate::frame::{Explanation, Pools, Text};
use crate::link::{self, News};
use crate::model::{Model, Wish};
use crate::screen::{Input, Inputs, Screen};
use crate::view::{self, look::Look};

/// How often the screen is drawn when nothing happens: the title counts seconds.
const TICK: Duration = Duration::from_millis(250);

/// How long to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// After so many frames it is done; never where there is none.
    pub frames: Option<u64>,
    /// Whether a lost link is tried again.
    pub reconnect: bool,
}

/// What an answer of the server's says.
enum Answer {
    Explained(Result<Vec<u8>, String>),
    Pools(Result<Vec<u8>, String>),
}

enum Happening {
    Input(Input),
    News(News),
    Answer(Answer),
    Tick,
}

struct Monitor {
    begin: Instant,
    address: Address,
    /// The pool that was turned to.
    pool: Option<String>,
    model: Model,
    patience: Patience,
    link: (Task<()>, Receiver<News>),
    tell: Sender<Answer>,
    answers: Receiver<Answer>,
    /// The questions that are still to be answered: one of a kind at a time.
    explaining: Option<Task<()>>,
    listing: Option<Task<()>>,
}

/// Watches on a screen, until its user has seen enough.
///
/// # Errors
///
/// There is no terminal, or the link was lost and is not to be tried again: why.
pub async fn watch(address: Address, patience: Patience, look: Look) -> Result<(), String> {
    let mut inputs = Inputs::listen().map_err(|error| error.to_string())?;
    let mut screen = Screen::take().map_err(|error| format!("the terminal cannot be taken: {error}"))?;
    let mut monitor = Monitor::new(address, patience);
    loop {
        let now = monitor.begin.elapsed();
        screen
            .draw(|frame| {
                let (model, area) = (&mut monitor.model, frame.area());
                model.desk.page = view::page(model, area.height);
                if model.reads() {
                    let furthest = view::furthest(model, look, area.width, area.height);
                    model.desk.read = model.desk.read.min(furthest);
                }
                view::draw(frame, model, look, now);
            })
            .map_err(|error| error.to_string())?;
        if monitor.has_seen_enough() {
            return Ok(());
        }
        let happening = monitor.next(&mut inputs).await;
        if let Some(end) = monitor.apply(happening) {
            return end;
        }
    }
}

fn follow(address: &Address) -> (Task<()>, Receiver<News>) {
    let (tell, news) = bounded(16);
    (smol::spawn(link::follow(address.clone(), tell)), news)
}

impl Monitor {
    fn new(address: Address, patience: Patience) -> Self {
        let begin = Instant::now();
        let model = Model::new(address.shown(), address.seconds, begin.elapsed());
        let link = follow(&address);
        let (tell, answers) = bounded(1);
        Self {
            begin,
            address,
            pool: None,
            model,
            patience,
            link,
            tell,
            answers,
            explaining: None,
            listing: None,
        }
    }

    fn has_seen_enough(&self) -> bool {
        self.patience.frames.is_some_and(|frames| self.model.frames >= frames)
    }

    async fn next(&self, inputs: &mut Inputs) -> Happening {
        let input = async { Happening::Input(inputs.next().await) };
        let news = async {
            // The link ends with us.
            self.link.1.recv().await.map_or(Happening::Tick, Happening::News)
        };
        let answer = async { self.answers.recv().await.map_or(Happening::Tick, Happening::Answer) };
        let tick = async {
            Timer::after(TICK).await;
            Happening::Tick
        };
        race(race(input, news), race(answer, tick)).await
    }

    /// What came of it, where it was the last that happens.
    fn apply(&mut self, happening: Happening) -> Option<Result<(), String>> {
        let now = self.begin.elapsed();
        match happening {
            Happening::Tick | Happening::Input(Input::Resized) => {}
            Happening::Input(Input::End) => return Some(Ok(())),
            Happening::Input(Input::Key(code)) => {
                let wish = self.model.pressed(code);
                if wish == Some(Wish::Quit) {
                    return Some(Ok(()));
                }
                self.grant(wish, now);
            }
            Happening::News(News::Heard(bytes)) => {
                self.model.heard(&bytes, now);
                if self.model.desk.detail {
                    self.grant(Some(Wish::Explain), now);
                }
            }
            Happening::News(News::Lost { why, again }) => {
                if !self.patience.reconnect {
                    let ended = self.model.frame.as_ref().is_some_and(|frame| frame.ended);
                    return Some(if ended { Ok(()) } else { Err(why) });
                }
                self.model.lost(why, again, now);
            }
            Happening::Answer(answer) => self.answered(answer, now),
        }
        None
    }

    fn grant(&mut self, wish: Option<Wish>, now: Duration) {
        match wish {
            None | Some(Wish::Quit) => {}
            Some(Wish::Interval(seconds)) => {
                self.address.seconds = seconds;
                self.model.paced(seconds, now);
                self.model.message = Some(format!("a frame every {seconds} s"));
                self.link = follow(&self.address);
            }
            Some(Wish::NextPool) if self.listing.is_none() => {
                self.listing = Some(self.ask(self.address.pools(), Answer::Pools));
            }
            Some(Wish::Explain) if self.explaining.is_none() => {
                self.explaining = Some(self.ask(self.address.explain(), Answer::Explained));
            }
            Some(Wish::NextPool | Wish::Explain) => {}
        }
    }

    fn ask(&self, page: String, into: fn(Result<Vec<u8>, String>) -> Answer) -> Task<()> {
        let (address, tell) = (self.address.clone(), self.tell.clone());
        smol::spawn(async move {
            // Nobody waits for it when the monitor has ended.
            let _ = tell.send(into(link::ask(&address, &page).await)).await;
        })
    }

    fn answered(&mut self, answer: Answer, now: Duration) {
        match answer {
            // An original has no such page, and there is nothing to say then.
            Answer::Explained(answer) => {
                self.explaining = None;
                let read = |bytes: Vec<u8>| serde_json::from_slice::<Explanation>(&bytes).ok();
                self.model.explanation = answer.ok().and_then(read);
            }
            Answer::Pools(answer) => {
                self.listing = None;
                let read = |bytes: Vec<u8>| {
                    serde_json::from_slice::<Pools>(&bytes).map_err(|error| error.to_string())
                };
                match answer.and_then(read) {
                    Err(why) => self.model.message = Some(format!("no list of pools: {why}")),
                    Ok(pools) => self.turn(&pools.pools, now),
                }
            }
        }
    }

    /// Turns to the pool after this one, round and round.
    fn turn(&mut self, pools: &[String], now: Duration) {
        let is_this = |pool: &String| match &self.pool {
            Some(chosen) => pool == chosen,
            None => *Text::from(pool.clone()) == *self.model.name(),
        };
        let at = pools.iter().position(is_this);
        let next = pools.get(at.map_or(0, |at| (at + 1) % pools.len()));
        let Some(next) = next.filter(|_| pools.len() > 1) else {
            self.model.message = Some("there is no other pool".to_owned());
            return;
        };
        self.address.choose(next);
        self.pool = Some(next.clone());
        // What is still to be answered is about the pool before.
        self.explaining = None;
        (self.tell, self.answers) = bounded(1);
        self.model.turned_to(self.address.shown(), now);
        self.link = follow(&self.address);
    }
}
