//! `make test-api`: the API as strangers use it. A program that reads the document tries every operation
//! of a real host, and a browser sends a request from the page.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    host::{access::address, all_kinds},
    support::{
        host::Host,
        processes::{self, PATIENCE, eventually, within},
        tools,
        websocket::WebSocket,
        wire::Ask,
    },
};

const KEY: &str = "correct-horse-battery-staple";

/// The program, in the version that the settings in `tests/api` are for.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// A host that strangers may do anything to: small fleets, short waits, a private Postgres.
fn host() -> Host {
    let fleets = format!("{}\n[fleet_defaults.scale]\nmin = 1\nmax = 3\n", all_kinds());
    Host::embedded(&fleets)
        .set("http.bind", "127.0.0.1:0")
        .set("http.api_key", KEY)
        .set("http.max_wait", "200ms")
        .set("log.level", "info")
        .up()
}

fn tests_of_the_api() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api")
}

#[test]
#[ignore = "minutes: `make test-api`"]
fn api_every_operation_does_what_the_document_says() {
    let tools = tools::python("schemathesis", &[SCHEMATHESIS]);
    let tools = tools.expect("schemathesis can be installed: see above");
    let host = host();
    let here = tests_of_the_api();
    let run = "from schemathesis.cli import schemathesis; schemathesis()";
    let status = Command::new("python3")
        .args(["-c", run, "--config-file"])
        .arg(here.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", address(&host))])
        .current_dir(host.path("tmp"))
        .env("PYTHONPATH", format!("{}:{}", tools.display(), here.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("HOSTLER_KEY", KEY)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}\n{}", host.log());
    host.ask(&Ask::new("GET", "/readyz")).expect(200);
}

/// A browser without a network, with one page.
struct Browser {
    child: Child,
    dir: tempfile::TempDir,
    page: WebSocket,
    asked: u64,
}

impl Browser {
    /// The first of these that is on PATH, if any.
    fn found() -> Option<&'static str> {
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            let looked = Command::new(name).arg("--version").stdout(Stdio::null()).status();
            looked.is_ok_and(|status| status.success())
        })
    }

    fn start(program: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("browser-").tempdir().unwrap();
        let child = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            // Whatever it would like to load from elsewhere is not there.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", dir.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        eventually("the browser says where it listens", || {
            port = fs::read_to_string(dir.path().join("DevToolsActivePort")).unwrap_or_default();
            port.lines().count() == 2
        });
        let at = format!("127.0.0.1:{}", port.lines().next().unwrap()).parse().unwrap();
        let mut path = None;
        eventually("the browser has a page", || {
            let pages = Ask::new("GET", "/json/list").over_tcp(at).unwrap().json();
            let pages = pages.as_array().cloned().unwrap_or_default();
            let page = pages.iter().find(|page| page["type"] == "page");
            path = page.map(|page| format!("/devtools/page/{}", page["id"].as_str().unwrap()));
            path.is_some()
        });
        Self { child, dir, page: WebSocket::over_tcp(at, &path.unwrap()), asked: 0 }
    }

    /// Has the browser do something, and returns what came of it.
    fn does(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        self.page.send(&json!({ "id": self.asked, "method": method, "params": params }));
        loop {
            let told = self.page.json();
            if told["id"] == self.asked {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
        }
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let told = self
            .does("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }));
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    fn until(&mut self, what: &str, expression: &str) {
        let holds = within(PATIENCE, || self.value(expression) == true);
        assert!(holds, "{what}: {}", self.value("document.body.innerText.slice(0, 2000)"));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        for process in processes::of(self.dir.path()) {
            processes::send(process.pid, Signal::SIGKILL);
        }
        self.child.wait().unwrap();
        eventually("the browser is gone", || processes::of(self.dir.path()).is_empty());
    }
}

#[test]
#[ignore = "needs a browser: `make test-api`"]
fn api_the_page_shows_the_document_and_sends_requests_without_a_network() {
    let Some(program) = Browser::found() else {
        eprintln!("SKIPPED: no chromium on PATH; `apt-get install chromium` brings one");
        return;
    };
    let host = host();
    let mut browser = Browser::start(program);
    let url = format!("http://{}/docs", address(&host));
    browser.does("Page.navigate", &json!({ "url": url }));
    browser.until("every operation is shown", "document.querySelectorAll('details').length > 100");
    let shown = browser.value("[...document.querySelectorAll('details')].map((one) => one.id)");
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let told = document["paths"].as_object().unwrap().values();
    let told = told.flat_map(|methods| methods.as_object().unwrap().values());
    assert_eq!(shown.as_array().unwrap().len(), told.count());

    let open = |id: &str| format!("document.getElementById('{id}').open = true");
    let answer = |id: &str| format!("document.querySelector('#{id} .answer').textContent");
    let press = |id: &str| format!("document.querySelector('#{id} button').click()");
    browser.value(&open("showHost"));
    browser.until("it is open", "document.querySelector('#showHost button') !== null");
    browser.value(&press("showHost"));
    browser.until("no key", &format!("{}.startsWith('401 in')", answer("showHost")));
    browser.value(&format!("document.getElementById('key').value = '{KEY}'"));
    browser.value(&press("showHost"));
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    browser.until("an answer", &format!("{}.includes('{version}')", answer("showHost")));

    // The example of a task is one that the host takes.
    browser.value(&open("submitTasks"));
    browser.until("it is open", "document.querySelector('#submitTasks textarea') !== null");
    browser.value(&press("submitTasks"));
    browser.until("a task", &format!("{}.startsWith('201 in')", answer("submitTasks")));
    let tasks = host.get("/api/v1/tasks?kind=report");
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "{tasks}");

    // A stream is shown as it comes, and stopped.
    browser.value(&open("readFeed"));
    browser.until("it is open", "document.querySelector('#readFeed select') !== null");
    browser.value("document.querySelector('#readFeed select').value = 'text/event-stream'");
    browser.value(
        "[...document.querySelectorAll('#readFeed tr')].find((row) => row.textContent.startsWith('after'))\
         .querySelector('input').value = 'beginning'",
    );
    browser.value(&press("readFeed"));
    browser.until("events", &format!("{}.includes('event: task.')", answer("readFeed")));
    browser.value(&press("readFeed"));
    browser.until("it is stopped", &format!("{}.includes('(stopped)')", answer("readFeed")));

    browser.value(
        "(() => { const find = document.getElementById('find'); find.value = 'webhooks/deliveries'; \
         find.dispatchEvent(new Event('input')); })()",
    );
    let left = "[...document.querySelectorAll('details')].filter((one) => !one.hidden).length";
    assert_eq!(browser.value(left), 3);
}
