use std::collections::BTreeSet;

use super::*;

#[test]
fn every_tool_has_a_name_of_its_own_and_a_schema_that_is_one() {
    let tools = list(Era::Session);
    let names: BTreeSet<_> = tools.iter().map(|tool| tool["name"].to_string()).collect();
    assert_eq!(names.len(), table::all().count());
    let document = include_str!("../../../../docs/MCP.md");
    for tool in &tools {
        let schema = &tool["inputSchema"];
        let properties = schema["properties"].as_object().expect("an object of properties");
        for required in schema["required"].as_array().expect("a list") {
            assert!(properties.contains_key(required.as_str().unwrap()), "{tool}");
        }
        let name = tool["name"].as_str().unwrap();
        assert!(document.contains(&format!("`{name}`")), "docs/MCP.md lacks {name}");
    }
    let long: Vec<_> = tools.iter().filter(|tool| !tool["execution"].is_null()).collect();
    assert_eq!(long.len(), 2);
    assert!(list(Era::Stateless).iter().all(|tool| tool["execution"].is_null()));
}

#[test]
fn a_tool_that_changes_something_needs_more_than_to_read() {
    for tool in table::all() {
        assert_eq!(
            tool.scope == Scope::Read || tool.name == "analyze_plan",
            tool.reads,
            "{}",
            tool.name
        );
        assert_ne!(tool.scope, Scope::Admin, "{}", tool.name);
    }
}

/// The arguments that a tool lists are those that it reads: no more, and no fewer.
#[test]
fn the_schema_of_a_command_on_a_session_is_what_its_reader_reads() {
    for tool in table::all() {
        let Some(word) = tool.word else { continue };
        let properties: Map<String, Value> = serde_json::from_str(tool.arguments).unwrap();
        let listed = |name: &str| properties.contains_key(name);
        let needed = tool.required.iter().map(|name| ((*name).to_owned(), json!("x")));
        let needed: Map<String, Value> = needed.collect();
        let with = |name: &str| {
            let mut arguments = needed.clone();
            arguments.insert(name.to_owned(), json!({ "odd": [1] }));
            arguments
        };
        for name in properties.keys().filter(|name| *name != "wait") {
            let said = match sessions::command(word, with(name)) {
                Ok(_) => continue,
                Err(error) => json!(error.problem()).to_string(),
            };
            assert!(!said.contains("is no field"), "{}: {name}: {said}", tool.name);
        }
        let unknown = sessions::command(word, with("no_such_argument")).unwrap_err();
        assert!(json!(unknown.problem()).to_string().contains("no_such_argument"), "{}", tool.name);
        for name in tool.required {
            let said =
                json!(sessions::command(word, Map::new()).unwrap_err().problem()).to_string();
            assert!(listed(name) && said.contains(name), "{}: {name}: {said}", tool.name);
        }
    }
}
