//! What a webhook may ask for: which commands may be run, and which deliveries of GitHub become tasks.
//!
//! Nothing here runs anything. A command is an argv that an agent of the fleet for commands carries
//! out; whoever lets one in has checked it with [`git`] or [`shell`] and has resolved its directory.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FleetName, QueueName, ScheduleName};

/// The longest argv, in words.
const MAX_WORDS: usize = 1000;

/// What a `shell` command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShellRule {
    /// None is taken.
    Off,
    /// A program and its arguments.
    Argv,
    /// That, or a line for a shell.
    Line,
}

impl ShellRule {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Off, Self::Argv, Self::Line];

    /// The word of the config file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Argv => "argv",
            Self::Line => "line",
        }
    }
}

impl fmt::Display for ShellRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a command is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not of the form that it must have.
    #[error("{0}")]
    Malformed(String),
    /// The operator does not allow it.
    #[error("{0}")]
    NotAllowed(String),
}

/// Long options of git that run programs, write files, or read a file that need not be of the directory. Git
/// takes their beginnings, too.
const REFUSED_OPTIONS: [&str; 18] = [
    "--upload-pack",
    "--receive-pack",
    "--exec",
    "--exec-path",
    "--config-env",
    "--git-dir",
    "--work-tree",
    "--output",
    "--output-directory",
    "--no-index",
    "--open-files-in-pager",
    "--ext-diff",
    "--template",
    "--super-prefix",
    "--contents",
    "--file",
    "--pathspec-from-file",
    "--ignore-revs-file",
];

/// Short options that read a file, of the subcommands that have them; what stands behind one in the same word
/// is its value.
const REFUSED_LETTERS: [(&str, &[char]); 4] =
    [("commit", &['F', 't']), ("tag", &['F']), ("merge", &['F']), ("blame", &['S'])];

/// Short options with a value: what stands behind one in the same word is no option.
const WITH_VALUE: [char; 6] = ['m', 'C', 'c', 'S', 'X', 'u'];

/// Checks the argv of a `git` command: the subcommand follows at once, is one of `allowed`, and no
/// option runs a program or reaches beyond the directory.
///
/// # Errors
///
/// [`Refused`], in words for the caller.
pub fn git(command: &Value, allowed: &[String]) -> Result<Vec<String>, Refused> {
    let argv = words(command)?;
    let Some(("git", rest)) = argv.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        return Err(Refused::Malformed("must be an argv whose first word is `git`".to_owned()));
    };
    let rest = match rest {
        [first, rest @ ..] if first == "--no-pager" => rest,
        rest => rest,
    };
    let Some(subcommand) = rest.first() else {
        return Err(Refused::Malformed("names no subcommand of git".to_owned()));
    };
    if !allowed.contains(subcommand) {
        return Err(Refused::NotAllowed(format!(
            "`git {}` is not allowed here; allowed are {}",
            plain(subcommand),
            allowed.join(", ")
        )));
    }
    // Elsewhere `-m` has no value.
    let has_message = matches!(subcommand.as_str(), "commit" | "tag" | "merge" | "stash");
    let mut before = subcommand.as_str();
    for word in &rest[1..] {
        let is_message = has_message && matches!(before, "-m" | "--message" | "-am");
        if !is_message && (is_refused_option(subcommand, word) || leads_out(word)) {
            let detail = format!(
                "`{}` is not allowed in a git command here: nothing that runs a program, or reaches beyond \
                 the directory",
                plain(word)
            );
            return Err(Refused::NotAllowed(detail));
        }
        before = word;
    }
    Ok(argv)
}

fn is_refused_option(subcommand: &str, word: &str) -> bool {
    if word.starts_with("--") {
        let name = word.split('=').next().unwrap_or_default();
        return name.len() >= 4 && REFUSED_OPTIONS.iter().any(|option| option.starts_with(name));
    }
    let letters = REFUSED_LETTERS.iter().find(|(of, _)| *of == subcommand);
    let Some((_, refused)) = letters.filter(|_| word.starts_with('-')) else { return false };
    let found = word.chars().skip(1).find(|c| refused.contains(c) || WITH_VALUE.contains(c));
    found.is_some_and(|letter| refused.contains(&letter))
}

/// Whether a word is a path that leads out of the directory, or an address of another repository on this
/// machine or of a program. `git diff` shows the contents of any two files of which one is elsewhere.
fn leads_out(word: &str) -> bool {
    word.starts_with(['/', '~'])
        || word.split('/').any(|part| part == "..")
        || word.starts_with("ext::")
        || word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:"))
}

/// Checks a `shell` command; a line, where that is allowed, becomes the argv of a shell.
///
/// # Errors
///
/// [`Refused`], in words for the caller.
pub fn shell(command: &Value, rule: ShellRule) -> Result<Vec<String>, Refused> {
    match (rule, command) {
        (ShellRule::Off, _) => {
            let detail = "shell commands are not allowed here (`shell` of the fleet for commands, in the config)";
            Err(Refused::NotAllowed(detail.to_owned()))
        }
        (ShellRule::Line, Value::String(line)) if line.contains('\0') || line.trim().is_empty() => {
            Err(Refused::Malformed("must be a line for a shell".to_owned()))
        }
        (ShellRule::Line, Value::String(line)) => {
            Ok(["sh", "-c", line].map(str::to_owned).to_vec())
        }
        (ShellRule::Argv, Value::String(_)) => {
            let detail = "a line for a shell is not allowed here (`shell` of the fleet for commands, in the config); \
                give a program and its arguments as an array";
            Err(Refused::NotAllowed(detail.to_owned()))
        }
        (_, command) => words(command),
    }
}

fn words(command: &Value) -> Result<Vec<String>, Refused> {
    let malformed = || {
        let detail = format!(
            "must be an array of 1 to {MAX_WORDS} words, the first a program, none with U+0000"
        );
        Refused::Malformed(detail)
    };
    let items = command.as_array().ok_or_else(malformed)?;
    let argv: Option<Vec<String>> =
        items.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let argv = argv.ok_or_else(malformed)?;
    let is_sound = (1..=MAX_WORDS).contains(&argv.len())
        && !argv[0].is_empty()
        && argv.iter().all(|word| !word.contains('\0'));
    if is_sound { Ok(argv) } else { Err(malformed()) }
}

/// What may be repeated of a word that somebody made up.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Which fleets callers may give tasks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every one.
    All,
    /// Those.
    These(Vec<FleetName>),
}

impl Reach {
    /// Whether the fleet may be given tasks.
    pub fn allows(&self, fleet: &FleetName) -> bool {
        match self {
            Self::All => true,
            Self::These(fleets) => fleets.contains(fleet),
        }
    }
}

/// Deliveries of GitHub that become tasks: one `[github.NAME]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct GithubRule {
    /// Its name.
    pub name: ScheduleName,
    /// The event: `push`.
    pub event: String,
    /// The action: `opened`; any where absent.
    pub action: Option<String>,
    /// The full name of the repository: `owner/name`; any where absent.
    pub repository: Option<String>,
    /// The branch that is pushed to, or that a pull request is to be merged into; any where absent.
    pub branch: Option<String>,
    /// The queue of the task.
    pub queue: QueueName,
    /// The kind of the task.
    pub kind: String,
    /// The priority of the task.
    pub priority: i16,
    /// The input of the task; its texts are templates over `event`, `delivery` and `payload`.
    pub input: Value,
}

impl GithubRule {
    /// Whether a delivery becomes a task of this rule.
    pub fn matches(&self, event: &str, payload: &Value) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.event == event
            && is(&self.action, payload["action"].as_str())
            && is(&self.repository, payload["repository"]["full_name"].as_str())
            && is(&self.branch, branch(payload))
    }

    /// What the input is made of.
    pub fn facts(event: &str, delivery: &str, payload: &Value) -> Value {
        json!({ "event": event, "delivery": delivery, "payload": payload })
    }
}

/// The branch that a delivery is about.
fn branch(payload: &Value) -> Option<&str> {
    let pushed = payload["ref"].as_str().and_then(|name| name.strip_prefix("refs/heads/"));
    pushed.or_else(|| payload["pull_request"]["base"]["ref"].as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed() -> Vec<String> {
        ["status", "log", "push", "diff", "commit", "blame", "tag", "add"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn git_runs_what_is_allowed_and_nothing_that_runs_something_else() {
        for good in [
            json!(["git", "status"]),
            json!(["git", "--no-pager", "log", "-1", "--oneline"]),
            json!(["git", "push", "origin", "main"]),
            json!(["git", "diff", "--", "ext"]),
            json!(["git", "diff", "main..topic", "HEAD:a/b", "src/a..b"]),
            json!(["git", "commit", "-m", "/etc and ../ are words here"]),
            json!(["git", "commit", "-am", "Fix", "-mFix it", "--message=/x"]),
            json!(["git", "log", "-F", "--grep=/api", "https://a.example/b.git"]),
        ] {
            assert!(git(&good, &allowed()).is_ok(), "{good}");
        }
        for bad in [
            json!(["git", "-c", "alias.x=!sh", "status"]),
            json!(["git", "-C", "/", "status"]),
            json!(["git", "--git-dir=/x", "status"]),
            json!(["git", "config", "alias.x", "!sh"]),
            json!(["git", "push", "--receive-pack=sh"]),
            json!(["git", "push", "--rec", "sh"]),
            json!(["git", "push", "--exe=sh"]),
            json!(["git", "push", "ext::sh -c id"]),
            json!(["git", "log", "--output=/etc/passwd"]),
            json!(["git", "diff", "--no-index", "a", "b"]),
            // What git does without `--no-index`, too.
            json!(["git", "diff", "/etc/passwd", "/dev/null"]),
            json!(["git", "diff", "../../etc/passwd", "a"]),
            json!(["git", "diff", "-m", "/etc/passwd", "/dev/null"]),
            json!(["git", "diff", "--", "a/../../b", "a"]),
            json!(["git", "blame", "--contents", "link/passwd", "a"]),
            json!(["git", "blame", "-Slink/passwd", "a"]),
            json!(["git", "commit", "-F", "link/passwd"]),
            json!(["git", "commit", "-aFlink/passwd"]),
            json!(["git", "tag", "-Flink/passwd", "t"]),
            json!(["git", "add", "--pathspec-from-file=link/passwd"]),
            json!(["git", "push", "file:///srv/other"]),
            json!(["git", "push", "/srv/other", "main"]),
        ] {
            assert!(matches!(git(&bad, &allowed()), Err(Refused::NotAllowed(_))), "{bad}");
        }
        for odd in [
            json!("git status"),
            json!([]),
            json!(["git"]),
            json!(["gitt", "status"]),
            json!(["/usr/bin/git", "status"]),
            json!(["git", 7]),
            json!(["git", "status", "a\0b"]),
            json!(null),
        ] {
            assert!(matches!(git(&odd, &allowed()), Err(Refused::Malformed(_))), "{odd}");
        }
    }

    #[test]
    fn a_shell_runs_only_as_far_as_the_operator_says() {
        let (line, argv) = (json!("echo hi | wc"), json!(["echo", "hi"]));
        for command in [&line, &argv] {
            assert!(matches!(shell(command, ShellRule::Off), Err(Refused::NotAllowed(_))));
        }
        assert_eq!(shell(&argv, ShellRule::Argv).unwrap(), ["echo", "hi"]);
        assert!(matches!(shell(&line, ShellRule::Argv), Err(Refused::NotAllowed(_))));
        assert_eq!(shell(&line, ShellRule::Line).unwrap(), ["sh", "-c", "echo hi | wc"]);
        assert!(matches!(shell(&json!(" "), ShellRule::Line), Err(Refused::Malformed(_))));
        assert!(matches!(shell(&json!(7), ShellRule::Line), Err(Refused::Malformed(_))));
    }

    #[test]
    fn a_rule_takes_the_deliveries_that_it_names() {
        let rule = GithubRule {
            name: "main".parse().unwrap(),
            event: "push".to_owned(),
            action: None,
            repository: Some("me/app".to_owned()),
            branch: Some("main".to_owned()),
            queue: "review".parse().unwrap(),
            kind: "task".to_owned(),
            priority: 0,
            input: Value::Null,
        };
        let push = json!({"ref": "refs/heads/main", "repository": {"full_name": "me/app"}});
        assert!(rule.matches("push", &push));
        assert!(!rule.matches("pull_request", &push));
        let other = json!({"ref": "refs/heads/x", "repository": {"full_name": "me/app"}});
        assert!(!rule.matches("push", &other));
        assert!(!rule.matches("push", &json!({"ref": "refs/tags/main"})));
        assert!(!rule.matches("push", &json!(null)));
        let opened = GithubRule {
            event: "pull_request".to_owned(),
            action: Some("opened".to_owned()),
            repository: None,
            ..rule
        };
        let pull = json!({"action": "opened", "pull_request": {"base": {"ref": "main"}}});
        assert!(opened.matches("pull_request", &pull));
        assert!(!opened.matches("pull_request", &json!({"action": "closed"})));
    }

    proptest! {
        #[test]
        fn a_beginning_of_a_refused_option_is_refused(option in 0..REFUSED_OPTIONS.len(), cut in 4usize..20) {
            let option = REFUSED_OPTIONS[option];
            let word = &option[..cut.min(option.len())];
            prop_assert!(git(&json!(["git", "log", word]), &allowed()).is_err());
            let word = format!("{word}=x");
            prop_assert!(git(&json!(["git", "log", word]), &allowed()).is_err());
        }
    }
}
