//! The page of the stats server in headless Chromium, which `.ci/run` installs: what people see, in light and in
//! dark, and that nothing is run or fetched that the page did not bring.
//!
//! - `chromium`: the browser's process, and what it is told and tells through DevTools.
//! - `colour`: what can be read on what.

mod chromium;
mod colour;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use qorb_driver::Runtime as _;
use qorb_examples::EchoServer;
use qorb_smol::{FixedResolver, Policy, Pool, SmolRuntime, StatsServer, TcpConnector};
use serde_json::Value;
use smol::future::or;

use chromium::Tab;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs a test, not for ever.
fn run(test: impl Future<Output = ()>) {
    smol::block_on(or(test, async {
        pause(PATIENCE).await;
        panic!("it took longer than {PATIENCE:?}");
    }));
}

async fn pause(span: Duration) {
    SmolRuntime.sleep_until(SmolRuntime.now().after(span)).await;
}

fn pool_of(name: &str, servers: &[&EchoServer]) -> Pool {
    let resolver = FixedResolver::new(servers.iter().map(|server| server.address()));
    Pool::new(name, resolver, TcpConnector::default(), Policy::default()).expect("it works")
}

fn echo() -> EchoServer {
    EchoServer::start(ANY).expect("there is a free port")
}

/// A server of these pools, and a page of it that is live.
async fn looked_at(pools: &[&Pool]) -> (StatsServer, Tab) {
    let server = StatsServer::bind(ANY).await.expect("there is a free port");
    pools.iter().for_each(|pool| server.add(pool));
    let mut tab = Tab::open(&format!("http://{}/", server.local_addr())).await;
    tab.until("it is live", LIVE).await;
    (server, tab)
}

const LIVE: &str = "document.getElementById('state').textContent === 'LIVE'";
/// The text of every cell, row by row.
const ROWS: &str =
    "[...document.querySelectorAll('#rows tr')].map(r => [...r.cells].map(c => c.textContent))";

#[test]
fn rows_appear_and_change_and_the_chart_is_drawn() {
    run(async {
        let (one, other) = (echo(), echo());
        let pool = pool_of("first", &[&one, &other]);
        let second = pool_of("second", &[&one]);
        let (_server, mut tab) = looked_at(&[&pool, &second]).await;
        tab.until("there are two rows", "document.querySelectorAll('#rows tr').length === 2").await;
        let rows = tab.eval(ROWS).await;
        let mut names: Vec<_> =
            [&one, &other].iter().map(|echo| Value::from(echo.address().to_string())).collect();
        names.sort_by_key(ToString::to_string);
        assert_eq!([&rows[0][0], &rows[1][0]], [&names[0], &names[1]], "{rows}");
        assert_eq!((&rows[0][1], &rows[1][1]), (&"up".into(), &"up".into()));

        let handle = pool.claim().await.expect("there is a server");
        tab.until("a claim is seen", &format!("{ROWS}.filter(r => r[6] === '1').length === 1")).await;
        drop(handle);
        for _ in 0..50 {
            drop(pool.claim().await.expect("there is a server"));
        }
        tab.until("claims are counted", &format!("{ROWS}.reduce((n, r) => n + Number(r[9]), 0) === 51"))
            .await;
        let points = "document.getElementById('curve').getAttribute('points').split(' ').length >= 2";
        tab.until("the chart is drawn", points).await;
        let drawn = "new Set(document.getElementById('curve').getAttribute('points').split(' ')\
                     .map(p => p.split(',')[1])).size > 1";
        tab.until("the chart shows that there were claims", drawn).await;

        let choose = "const s = document.getElementById('pool'); s.value = 'second'; s.onchange(); \
                      [...s.options].map(o => o.value)";
        assert_eq!(tab.eval(choose).await, serde_json::json!(["first", "second"]));
        tab.until("the other pool is seen", "document.querySelectorAll('#rows tr').length === 1").await;
        assert_eq!(tab.troubles(), Vec::<String>::new());
    });
}

#[test]
fn whoever_turns_from_pool_to_pool_keeps_one_connection() {
    run(async {
        let one = echo();
        let pools = ["first", "second"].map(|name| pool_of(name, &[&one]));
        let (_server, mut tab) = looked_at(&pools.each_ref()).await;
        let turn = "const Socket = WebSocket; window.opened = []; \
                    window.WebSocket = function (url) { const made = new Socket(url); opened.push(made); return made; }; \
                    const s = document.getElementById('pool'); \
                    for (let i = 0; i < 6; i++) { s.value = i % 2 ? 'second' : 'first'; s.onchange(); } 0";
        tab.eval(turn).await;
        tab.until("a connection is there", "opened.some(of => of.readyState === 1)").await;
        assert_eq!(tab.eval("opened.filter(of => of.readyState < 2).length").await, 1);
        assert_eq!(tab.troubles(), Vec::<String>::new());
    });
}

#[test]
fn the_page_comes_back_with_the_server() {
    run(async {
        let one = echo();
        let pool = pool_of("first", &[&one]);
        let (server, mut tab) = looked_at(&[&pool]).await;
        let address = server.local_addr();
        drop(server);
        let away = "document.getElementById('state').textContent.startsWith('RECONNECTING')";
        tab.until("it says that the server is away", away).await;
        let server = loop {
            match StatsServer::bind(address).await {
                Ok(server) => break server,
                Err(_) => pause(Duration::from_millis(20)).await,
            }
        };
        server.add(&pool);
        tab.until("it is live again", LIVE).await;
    });
}

#[test]
fn a_name_is_text_whatever_it_says() {
    run(async {
        let one = echo();
        let pool = pool_of("<img src=x onerror=\"document.title='owned'\">", &[&one]);
        let (_server, mut tab) = looked_at(&[&pool]).await;
        assert_eq!(tab.eval("document.querySelectorAll('img').length").await, 0);
        assert_eq!(tab.eval("document.title").await, "qorb");
        assert_eq!(tab.troubles(), Vec::<String>::new());
        // What is not the page's own is not run.
        tab.eval("const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s); 0")
            .await;
        assert_eq!(tab.eval("document.title").await, "qorb");
        tab.until("the browser complains", "true").await;
        assert!(
            tab.troubles().iter().any(|line| line.contains("Content Security Policy")),
            "{:?}",
            tab.troubles()
        );
    });
}

#[test]
fn light_and_dark_differ_and_both_can_be_read() {
    run(async {
        let one = echo();
        let pool = pool_of("first", &[&one]);
        let (_server, mut tab) = looked_at(&[&pool]).await;
        let mut backgrounds = Vec::new();
        for scheme in ["light", "dark"] {
            tab.prefer(scheme).await;
            let colours = "['body', 'h1', 'th', 'td', 'td.up', '#state', '#totals', 'figcaption', 'select']\
                 .map(s => getComputedStyle(document.querySelector(s)).color)\
                 .concat(getComputedStyle(document.querySelector('polyline')).stroke)";
            let background = tab.eval("getComputedStyle(document.body).backgroundColor").await;
            let back = colour::of(&background);
            let colours = tab.eval(colours).await;
            for text in colours.as_array().expect("a list") {
                let contrast = colour::contrast(colour::of(text), back);
                assert!(contrast >= 4.5, "{scheme}: {text} on {background}: {contrast}");
            }
            backgrounds.push(background);
        }
        assert_ne!(backgrounds[0], backgrounds[1]);
        assert_eq!(tab.troubles(), Vec::<String>::new());
    });
}
