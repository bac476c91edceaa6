//! `GET /llm-instructions`: the contract as a page for a language model, with this host's own address,
//! fleets and limits.

use actix_web::{HttpRequest, HttpResponse, http::header::HOST, web::Data};

use crate::{
    domain::webhook::ShellRule,
    http::{Answer, State, query},
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
    let page = page(&base, needs_key, &state.sessions.offer(), state.settings.max_body);
    Ok(HttpResponse::Ok().content_type("text/markdown; charset=utf-8").body(page))
}

fn page(base: &str, needs_key: bool, offer: &Offer, max_body: u64) -> String {
    let fleets: Vec<_> = offer.fleets.iter().map(|fleet| format!("`{fleet}`")).collect();
    let fleets = if fleets.is_empty() { "none on this host".to_owned() } else { fleets.join(", ") };
    let some = offer.fleets.first().map_or_else(|| "FLEET".to_owned(), ToString::to_string);
    let key = if needs_key {
        "Send the API key with every request, as `Authorization: Bearer KEY`. Ask the person for it; never \
         write it into a session."
    } else {
        "This host asks for no API key."
    };
    let git = if offer.git { "Git commands are run." } else { "Git commands are not run here." };
    let shell = match offer.shell {
        ShellRule::Off => "Other commands are not run here.",
        ShellRule::Argv => "Other commands are run as a program with its arguments.",
        ShellRule::Line => "Other commands are run, as a program with its arguments or as a line.",
    };
    let base: String =
        base.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    PAGE.replace("@BASE@", &base)
        .replace("@KEY@", key)
        .replace("@FLEETS@", &fleets)
        .replace("@FLEET@", &some)
        .replace("@GIT@", git)
        .replace("@SHELL@", shell)
        .replace("@WAIT@", &format_duration(offer.sync_wait))
        .replace("@BODY@", &format_size(max_body))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value};

    use super::*;
    use crate::http::{sessions::read::Names, webhook::read};

    fn shown() -> String {
        let offer = Offer {
            fleets: vec!["claude".parse().unwrap(), "codex".parse().unwrap()],
            git: true,
            shell: ShellRule::Off,
            sync_wait: Duration::from_secs(30),
        };
        page("https://host.example:7117", true, &offer, 64 << 20)
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

    #[test]
    fn every_example_on_the_page_is_taken() {
        let page = shown();
        let examples: Vec<_> =
            page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(examples.len() >= 6, "{}", examples.len());
        for example in examples {
            let body: Map<String, Value> = serde_json::from_str(example).expect(example);
            let asked = read::read(body, &mut Names::of(None));
            assert!(asked.is_ok(), "{example}: {asked:?}");
        }
    }
}
