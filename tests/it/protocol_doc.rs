//! Runs the conversations and the templates of `docs/PROTOCOL.md` through the code.

use std::{collections::VecDeque, time::Duration};

use hostler::{
    domain::{
        Attempt, Generation,
        task::{Assignment, Outcome, RunTerms},
    },
    protocol::{
        exec::{self, INHERITED, Template},
        worker::{Received, Terms, WorkerSession},
    },
};
use serde_json::{Value, json};

const DOC: &str = include_str!("../../docs/PROTOCOL.md");

/// The bodies of all code blocks marked with `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let found: Vec<_> =
        DOC.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!found.is_empty(), "the page has no block marked {language}");
    found
}

fn terms(agent: &str, fleet: &str, generation: u64, heartbeat: u64) -> Terms {
    Terms {
        agent: agent.parse().unwrap(),
        fleet: fleet.parse().unwrap(),
        generation: Generation(generation),
        heartbeat: Duration::from_millis(heartbeat),
        max_output: 1024,
        prefetch: 1,
        attempts: None,
    }
}

fn timeout(params: &Value) -> Option<Duration> {
    params["timeout_ms"].as_u64().map(Duration::from_millis)
}

/// The assignment that the params of a `task/run` tell of.
fn assignment(params: &Value) -> Assignment {
    let text = |name: &str| params[name].as_str().unwrap();
    let number = |name: &str| u32::try_from(params[name].as_u64().unwrap()).unwrap();
    Assignment {
        task: text("task_id").parse().unwrap(),
        attempt: Attempt(number("attempt")),
        failures: 0,
        max_attempts: number("attempts_left") + 1,
        agent: "demo-1".parse().unwrap(),
        queue: text("queue").parse().unwrap(),
        kind: text("kind").into(),
        input: params["input"].clone(),
        results: None,
        timeout: None,
        waited: std::time::Duration::ZERO,
        frees: false,
        entry: None,
        terms: RunTerms::default(),
    }
}

/// One conversation: the session, and the replies it wants to send.
struct Conversation {
    session: WorkerSession,
    replies: VecDeque<Vec<u8>>,
}

impl Conversation {
    /// Begins where `block` does: before the greeting, or after it.
    fn of(block: &str) -> Self {
        let mut session = WorkerSession::new(terms("demo-1", "demo", 4, 10_000));
        if !block.contains("\"initialize\"") {
            session.hello();
            let hello = br#"{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1}}"#;
            session.receive(hello).unwrap();
        }
        Self { session, replies: VecDeque::new() }
    }

    /// What the host sends where the page says that it sends `line`.
    fn host(&mut self, line: &str) -> Vec<u8> {
        let message: Value = serde_json::from_str(line).unwrap();
        let params = &message["params"];
        match message["method"].as_str() {
            None => self.replies.pop_front().expect("a reply is due"),
            Some("initialize") => self.session.hello(),
            Some("task/run") => self.session.run(&assignment(params), timeout(params)).unwrap(),
            Some("task/cancel") => {
                let (task, attempt) = self.session.current().expect("a task is under way");
                self.session.cancel(task, attempt).expect("it was not called off before")
            }
            Some("shutdown") => self.session.shutdown(),
            Some(other) => panic!("hosts don't send {other}"),
        }
    }

    /// What a line of the agent means, in the words of the page.
    fn agent(&mut self, line: &str) -> &'static str {
        match self.session.receive(line.as_bytes()) {
            Ok(Received::Ready { .. }) => "ready",
            Ok(Received::Progress(_)) => "progress",
            Ok(Received::Log { .. }) => "log",
            Ok(Received::Artifact(_)) => "artifact",
            Ok(Received::ToolOpened { .. }) => "tool call begins",
            Ok(Received::ToolClosed { .. }) => "tool call ends",
            Ok(Received::Heartbeat) => "heartbeat",
            Ok(Received::Ignored { .. }) => "ignored",
            Ok(Received::Reply { bytes, .. }) => {
                self.replies.push_back(bytes);
                "reply"
            }
            Ok(Received::Finished { outcome, .. }) => match outcome {
                Outcome::Failed { .. } => "failed (task)",
                other => other.as_str(),
            },
            Err(_) => "error",
        }
    }
}

#[test]
fn the_conversations_are_true() {
    for block in blocks("conversation") {
        let mut conversation = Conversation::of(block);
        let mut meant = None;
        for line in block.lines() {
            let (who, said) = line.split_once(' ').unwrap();
            let said = said.trim_start();
            if who != "means" {
                assert_eq!(meant, None, "the page does not say what the line before means: {line}");
            }
            match who {
                "host" => {
                    let sent = conversation.host(said);
                    let sent: Value = serde_json::from_slice(&sent).unwrap();
                    assert_eq!(sent, serde_json::from_str::<Value>(said).unwrap());
                }
                "agent" => meant = Some(conversation.agent(said)),
                "means" => assert_eq!(meant.take(), Some(said), "in\n{block}"),
                other => panic!("nobody is called {other}"),
            }
        }
        assert_eq!(meant, None, "the page does not say what the last line means");
        assert!(conversation.replies.is_empty(), "the page does not show the reply");
    }
}

#[test]
fn shell_scripts_find_the_members_in_the_promised_order() {
    let line = blocks("conversation")[0].lines().find(|line| line.contains("task/run")).unwrap();
    let said = line.trim_start_matches("host").trim_start();
    let mut conversation = Conversation::of("");
    assert_eq!(str::from_utf8(&conversation.host(said)).unwrap().trim_end(), said);
    let hello = WorkerSession::new(terms("demo-1", "demo", 4, 10_000)).hello();
    let (task, attempt) = conversation.session.current().unwrap();
    let cancel = conversation.session.cancel(task, attempt).unwrap();
    for sent in [hello, cancel] {
        let sent = str::from_utf8(&sent).unwrap();
        let params = sent.find("\"params\":").unwrap();
        assert!(sent.find("\"method\":").unwrap() < params, "{sent}");
        assert!(sent.find("\"id\":").is_none_or(|id| id < params), "{sent}");
    }
}

#[test]
fn stdin_is_as_shown() {
    let shown = blocks("json")[0];
    let task: Value = serde_json::from_str(shown).unwrap();
    let stdin = exec::stdin(&assignment(&task), timeout(&task)).unwrap();
    assert_eq!(str::from_utf8(&stdin).unwrap(), shown);
}

#[test]
fn the_templates_make_what_is_shown() {
    for line in blocks("templates").into_iter().flat_map(str::lines) {
        let (word, rest) = line.split_once(" from ").unwrap();
        let (input, made) = rest.split_once(" makes ").unwrap_or_else(|| {
            (rest.strip_suffix(" fails").expect("it makes something, or fails"), "")
        });
        let template = Template::parse(&["agent".into(), word.trim_end().into()]).unwrap();
        let input: Value = serde_json::from_str(input.trim_end()).unwrap();
        let argv = template.render(&assignment(&json!({
            "task_id": "tsk_0198f3c2a7d47c10b5a86f0e2d91c344", "attempt": 1, "attempts_left": 0,
            "queue": "default", "kind": "summarise", "input": input,
        })));
        let shown = (!line.ends_with(" fails")).then(|| vec!["agent".to_owned(), made.to_owned()]);
        assert_eq!(argv.ok(), shown, "{line}");
    }
}

#[test]
fn every_inherited_variable_is_named() {
    let section = DOC.split("## Environment").nth(1).unwrap();
    for name in INHERITED {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}
