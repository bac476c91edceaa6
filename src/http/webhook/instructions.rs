//! `GET /llm-instructions`: the contract as a page for a language model, with this host's own address,
//! fleets and limits. An assistant that reads a page can't send a key with that: the page is for everybody, but
//! what it tells of this host is for those who were let in.

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, http::header::HOST, web::Data};

use crate::{
    domain::webhook::ShellRule,
    http::{Answer, State, caller::Caller, query},
    sessions::Offer,
    settings::{format_duration, format_size},
};

/// The page, with places for what differs from host to host.
const PAGE: &str = include_str!("instructions.md");

pub(in crate::http) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let info = request.connection_info();
    let has_host = request.headers().contains_key(HOST);
    let base = if has_host {
        format!("{}://{}", info.scheme(), info.host())
    } else {
        "http://localhost".to_owned()
    };
    let needs_key = state.access.is_locked();
    let caller = request.extensions().get::<Caller>().cloned();
    let offer = caller.map(|caller| state.sessions.offer(&caller.grants));
    let page = page(&base, needs_key, offer.as_ref(), state.settings.max_body);
    Ok(HttpResponse::Ok().content_type("text/markdown; charset=utf-8").body(page))
}

/// What a page says of a host.
struct Terms {
    fleets: String,
    some: String,
    commands: String,
    body: String,
    wait: String,
}

/// What it says to those who were not let in.
fn untold() -> Terms {
    Terms {
        fleets: "this page names them when it is asked for with the API key; else ask the person"
            .to_owned(),
        some: "FLEET".to_owned(),
        commands: "Whether commands are run here is told in the same way.".to_owned(),
        body: "64 MiB (unless the person set another limit)".to_owned(),
        wait: "as long as the person set (30 s unless they did)".to_owned(),
    }
}

fn told(offer: &Offer, max_body: u64) -> Terms {
    let fleets: Vec<_> = offer.fleets.iter().map(|fleet| format!("`{fleet}`")).collect();
    let fleets = if fleets.is_empty() { "none on this host".to_owned() } else { fleets.join(", ") };
    let some = offer.fleets.first().map_or_else(|| "FLEET".to_owned(), ToString::to_string);
    let git = if offer.git { "Git commands are run." } else { "Git commands are not run here." };
    let shell = match offer.shell {
        ShellRule::Off => "Other commands are not run here.",
        ShellRule::Argv => "Other commands are run as a program with its arguments.",
        ShellRule::Line => "Other commands are run, as a program with its arguments or as a line.",
    };
    Terms {
        fleets,
        some,
        commands: format!("{git} {shell}"),
        body: format_size(max_body),
        wait: format!("up to {}", format_duration(offer.sync_wait)),
    }
}

fn page(base: &str, needs_key: bool, offer: Option<&Offer>, max_body: u64) -> String {
    let terms = offer.map_or_else(untold, |offer| told(offer, max_body));
    let key = if needs_key {
        "Send the API key with every request, as `Authorization: Bearer KEY`. Ask the person for it; never \
         write it into a session."
    } else {
        "This host asks for no API key."
    };
    let base: String =
        base.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    PAGE.replace("@BASE@", &base)
        .replace("@KEY@", key)
        .replace("@FLEETS@", &terms.fleets)
        .replace("@FLEET@", &terms.some)
        .replace("@COMMANDS@", &terms.commands)
        .replace("@WAIT@", &terms.wait)
        .replace("@BODY@", &terms.body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value};

    use super::*;
    use crate::{
        domain::session::{ChunkFormat, MemoryType},
        http::{sessions::read::Names, webhook::read},
    };

    fn shown() -> String {
        let offer = Offer {
            fleets: vec!["claude".parse().unwrap(), "codex".parse().unwrap()],
            git: true,
            shell: ShellRule::Off,
            sync_wait: Duration::from_secs(30),
        };
        page("https://host.example:7117", true, Some(&offer), 64 << 20)
    }

    #[test]
    fn who_was_not_let_in_is_taught_and_told_nothing_of_the_host() {
        let page = page("https://host.example", true, None, 64 << 20);
        assert!(page.contains("https://host.example/webhook") && page.contains("`store_memory`"));
        assert!(!page.contains('@') && page.contains("with the API key"), "{page}");
    }

    #[test]
    fn the_page_tells_of_this_host_and_of_every_command() {
        let page = shown();
        for word in ["https://host.example:7117/webhook", "`claude`, `codex`", "30s", "64MiB"] {
            assert!(page.contains(word), "{word}");
        }
        assert!(!page.contains('@'), "a place was left");
        for command in read::COMMANDS.iter().chain(&read::TYPES).chain(&[read::BATCH]) {
            assert!(page.contains(&format!("`{command}`")), "nothing is said of {command}");
        }
    }

    /// The requests among the examples of a text; answers have a type of their own.
    fn requests(text: &str) -> Vec<Map<String, Value>> {
        let examples = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let bodies = examples.map(|example| serde_json::from_str(example).expect(example));
        let is_request = |body: &Map<String, Value>| {
            body["type"].as_str().is_some_and(|word| read::TYPES.contains(&word))
        };
        bodies.filter(is_request).collect()
    }

    #[test]
    fn every_example_on_the_page_and_in_the_book_is_taken() {
        let book = include_str!("../../../docs/LLM_SESSION_API.md");
        for (text, least) in [(&*shown(), 9), (book, 3)] {
            let examples = requests(text);
            assert!(examples.len() >= least, "{}", examples.len());
            for example in examples {
                let asked = read::read(example.clone(), &mut Names::of(None));
                assert!(asked.is_ok(), "{example:?}: {asked:?}");
            }
        }
    }

    #[test]
    fn the_book_tells_of_every_command_word_and_status() {
        let book = include_str!("../../../docs/LLM_SESSION_API.md");
        let types = MemoryType::ALL.iter().map(|one| one.as_str());
        let formats = ChunkFormat::ALL.iter().map(|one| one.as_str());
        let commands = read::COMMANDS.iter().chain(&read::TYPES).chain(&[read::BATCH]).copied();
        for word in commands.chain(types).chain(formats) {
            assert!(book.contains(&format!("`{word}`")), "nothing is said of {word}");
        }
        let statuses = "200 201 202 207 400 401 403 404 408 409 413 415 422 429 500 503 504";
        let rows: Vec<_> = book
            .lines()
            .filter(|line| {
                line.starts_with("| 2") || line.starts_with("| 4") || line.starts_with("| 5")
            })
            .collect();
        for status in statuses.split(' ') {
            let is_told = rows
                .iter()
                .any(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(status)));
            assert!(is_told, "nothing is said of {status}");
        }
    }
}
