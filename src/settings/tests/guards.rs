//! Broken settings of what guards the host: TLS, roots, the shell.

use super::*;

/// What stands in the config file, and what is said about it.
const TABLE: &[(&str, &str)] = &[
    (
        "[host]\nroots = [\"bin\"]\n[fleets.a]\nprotocol = \"exec\"\ncommand = [\"agent\"]\ncwd = \"/\"",
        "hostler.toml:6: fleets.a.cwd: / is not below a directory of host.roots: add one, or name another",
    ),
    ("[host]\nroots = [\"none\"]", "hostler.toml:2: host.roots[0]: DIR/none is not a directory"),
    (
        "[http.tls]\ncert = \"c.pem\"",
        "hostler.toml:2: http.tls.cert: needs `key`, the file of its key, beside it",
    ),
    (
        "[http]\ntls = { key = \"k.pem\" }",
        "hostler.toml:2: http.tls.key: needs `cert`, the file of the certificate",
    ),
    (
        "[http.tls]\ncert = \"none.pem\"\nkey = \"none.key\"",
        "hostler.toml:2: http.tls.cert: DIR/none.pem cannot be read (No such file or directory (os error 2)): check the path\nhostler.toml:3: http.tls.key: DIR/none.key cannot be read (No such file or directory (os error 2)): check the path",
    ),
    (
        "[http.tls]\ncert = \"hostler.toml\"\nkey = \"hostler.toml\"",
        "hostler.toml:2: http.tls.cert: DIR/hostler.toml holds no certificate in the form of PEM\nhostler.toml:3: http.tls.key: DIR/hostler.toml holds no key in the form of PEM",
    ),
];

#[test]
fn each_broken_guard_is_answered_exactly() {
    for (toml, problems) in TABLE {
        assert_eq!(World::with(toml).problems().trim(), *problems, "{toml}");
    }
}

#[test]
fn a_line_for_a_shell_is_made_of_tasks_only_where_the_operator_says_so() {
    let fleet = |command: &str, shell: &str| {
        let head = "[fleets.a]\nprotocol = \"exec\"\nenv = { PATH = \"/usr/bin:/bin\" }\n";
        World::with(&format!("{head}command = {command}\nshell = \"{shell}\"\n"))
    };
    for line in [
        r#"["sh", "-c", "echo {{ input.x }}"]"#,
        r#"["/bin/sh", "-e", "-c", "echo {{ input.x }}"]"#,
        r#"["env", "-i", "A=b", "sh", "-c", "{% if input.x %}x{% endif %}"]"#,
    ] {
        for off in ["off", "argv"] {
            assert!(fleet(line, off).problems().contains("is a line for a shell"), "{line}");
        }
        assert_eq!(fleet(line, "line").settings().fleets.len(), 1, "{line}");
    }
    for sound in [
        r#"["sh", "-c", "echo \"$1\"", "sh", "{{ input.x }}"]"#,
        r#"["sh", "script.sh", "{{ input.x }}"]"#,
        r#"["echo", "sh", "-c", "{{ input.x }}"]"#,
    ] {
        assert_eq!(fleet(sound, "off").settings().fleets.len(), 1, "{sound}");
    }
}
