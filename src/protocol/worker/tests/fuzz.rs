//! The conversation, against every kind of rubbish.

use proptest::prelude::*;

use super::*;

/// JSON that often looks like a message.
fn message() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0_u64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(TASK)),
        Just(json!("2.0")),
        ".{0,8}".prop_map(Value::from),
    ];
    let any = leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![
            Just("task_id".to_owned()),
            Just("attempt".to_owned()),
            Just("code".to_owned()),
            Just("message".to_owned()),
            Just("name".to_owned()),
            "[a-z]{0,4}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    let method = prop_oneof![
        Just("heartbeat"),
        Just("task/progress"),
        Just("task/log"),
        Just("task/artifact"),
        Just("x")
    ];
    let maybe = |value: BoxedStrategy<Value>| proptest::option::of(value);
    (
        maybe(any.clone().boxed()),
        maybe(method.prop_map(Value::from).boxed()),
        maybe(any.clone().boxed()),
        maybe(any.clone().boxed()),
        maybe(any.boxed()),
    )
        .prop_map(|(id, method, params, result, error)| {
            let mut message = json!({"jsonrpc": "2.0"});
            let members = [
                ("id", id),
                ("method", method),
                ("params", params),
                ("result", result),
                ("error", error),
            ];
            for (name, value) in members {
                if let Some(value) = value {
                    message[name] = value;
                }
            }
            message
        })
}

/// What must hold whatever an agent sends.
fn survives(lines: impl IntoIterator<Item = Vec<u8>>) {
    let mut session = WorkerSession::new(terms());
    let mut ends = 0;
    let mut runs = 0;
    session.hello();
    for line in lines {
        let before = session.current();
        match session.receive(&line) {
            Ok(Received::Finished { .. }) => {
                assert!(before.is_some() && session.current().is_none());
                ends += 1;
            }
            Ok(Received::Reply { bytes, .. }) => drop(json_of(&bytes)),
            Ok(_) => assert_eq!(session.current(), before),
            Err(error) => assert!(error.to_string().chars().count() < 1000, "{error}"),
        }
        runs += u32::from(session.run(&assignment(json!(0)), None).is_ok());
    }
    assert!(ends <= runs);
}

proptest! {
    #[test]
    fn no_bytes_panic(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..10)) {
        survives(lines);
    }

    #[test]
    fn no_json_panics(messages in proptest::collection::vec(message(), 0..12), greeted in any::<bool>()) {
        let hello = greeted.then(|| answer(1, &json!({"protocol_version": 1})));
        survives(hello.into_iter().chain(messages).map(|message| message.to_string().into_bytes()));
    }

    #[test]
    fn no_line_that_was_cut_or_bent_panics(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = message.to_string().into_bytes();
        let at = at.index(line.len());
        survives([line[..at].to_vec()]);
        line[at] = byte;
        survives([line]);
    }
}
