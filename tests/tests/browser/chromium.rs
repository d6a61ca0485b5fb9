//! A headless Chromium with one tab, and what is said to it and by it through its DevTools.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use serde_json::{Value, json};
use smol::net::TcpStream;
use smol::stream::StreamExt;

use super::pause;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A browser, and its one tab. The browser ends when this is dropped.
pub(crate) struct Tab {
    _browser: Browser,
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    calls: u64,
    troubles: Vec<String>,
}

struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Browser {
    /// Starts it, and tells where its DevTools listen.
    fn start() -> (Self, String) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{number}"));
        let _ = std::fs::remove_dir_all(&profile);
        let mut process = Command::new("chromium")
            // The sandbox needs rights that containers rarely have; the page is our own.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking"])
            .args([
                "--remote-debugging-port=0",
                &format!("--user-data-dir={}", profile.display()),
                "about:blank",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed");
        let mut lines = BufReader::new(process.stderr.take().expect("it is a pipe")).lines();
        let browser = Self { process, profile };
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned));
        // What it says afterwards nobody reads, but it must not find its pipe closed or full.
        std::thread::spawn(move || lines.for_each(drop));
        (browser, address.expect("it says where it listens"))
    }
}

impl Tab {
    /// Opens this address.
    pub(crate) async fn open(url: &str) -> Self {
        let (browser, devtools) = Browser::start();
        let host = devtools.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let stream = TcpStream::connect(host.expect("a host")).await.expect("it listens");
        let (socket, _) = client_async(devtools.as_str(), stream).await.expect("it speaks websocket");
        let mut tab = Self { _browser: browser, socket, session: None, calls: 0, troubles: Vec::new() };
        let target = tab.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = tab.call("Target.attachToTarget", attach).await;
        tab.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.call("Page.navigate", json!({ "url": url })).await;
        let arrived = format!("location.href === {} && document.readyState === 'complete'", json!(url));
        tab.until("the page has arrived", &arrived).await;
        tab
    }

    /// What a script in the page comes to.
    pub(crate) async fn eval(&mut self, script: &str) -> Value {
        let arguments = json!({ "expression": script, "returnByValue": true, "replMode": true });
        let mut result = self.call("Runtime.evaluate", arguments).await;
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until a script in the page comes to true.
    pub(crate) async fn until(&mut self, what: &str, script: &str) {
        for _ in 0..600 {
            if self.eval(script).await == true {
                return;
            }
            pause(Duration::from_millis(50)).await;
        }
        let seen = self.eval("document.body?.innerText").await;
        panic!("it does not come about that {what}: {seen}; {:?}", self.troubles);
    }

    /// Has the page believe that its reader prefers light or dark.
    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What the page or the browser has complained about so far.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.clone()
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::Text(message.to_string().into())).await.expect("the browser listens");
        loop {
            let message = self.socket.next().await.expect("the browser runs").expect("it speaks well");
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).expect("it speaks JSON");
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            let event = message["method"].as_str().unwrap_or_default();
            let logged = &message["params"]["entry"]["level"];
            let is_log = event == "Log.entryAdded" && (logged == "error" || logged == "warning");
            let is_console = event == "Runtime.consoleAPICalled" || event == "Runtime.exceptionThrown";
            if is_log || is_console {
                self.troubles.push(message["params"].to_string());
            }
        }
    }
}
