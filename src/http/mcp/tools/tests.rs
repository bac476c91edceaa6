use std::collections::BTreeSet;

use super::*;

#[test]
fn every_tool_has_a_name_of_its_own_and_a_schema_that_is_one() {
    let tools = list(Era::Session);
    let names: BTreeSet<_> = tools.iter().map(|tool| tool["name"].to_string()).collect();
    assert_eq!(names.len(), TOOLS.len());
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
    assert_eq!(long.len(), 1);
    assert!(list(Era::Stateless).iter().all(|tool| tool["execution"].is_null()));
}
