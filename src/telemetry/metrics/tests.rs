use super::*;
use crate::domain::task::FailureClass;

#[test]
fn the_text_has_every_family_and_one_end() {
    let metrics = Metrics::new("1.2.3");
    metrics.submitted(3);
    metrics.expired(2);
    metrics.claimed(2, Duration::from_millis(1));
    metrics.settled(2, Duration::from_millis(1));
    metrics.picked_up(Duration::from_millis(2));
    metrics.attempt_ended(&Outcome::failed(FailureClass::Stale, "x"));
    metrics.restarted(&"f".parse().unwrap(), RestartCause::Stale);
    metrics.schedule_fired(FiringOutcome::ByHand);
    metrics.events_read(5);
    metrics.delivered(DeliveryOutcome::Delivered, Duration::from_millis(3));
    metrics.delivered(DeliveryOutcome::Gone, Duration::ZERO);
    metrics.commanded("store_memory", "done");
    metrics.called("wait_task", "refused");
    metrics.subscribers(4);
    metrics.subscribers_dropped(1);
    let text = metrics.render(&Scrape { dropped_lines: 7, ..Scrape::default() });
    for line in [
        "hostler_build_info{version=\"1.2.3\"} 1",
        "hostler_tasks_submitted_total 3",
        "hostler_tasks_expired_total 2",
        "hostler_attempts_total{outcome=\"failed\",class=\"stale\"} 1",
        "hostler_restarts_total{fleet=\"f\",cause=\"stale\"} 1",
        "hostler_schedule_firings_total{outcome=\"by_hand\"} 1",
        "hostler_claim_batch_size_count 1",
        "hostler_settle_seconds_count 1",
        "hostler_pickup_seconds_count 1",
        "hostler_log_lines_dropped_total 7",
        "hostler_events_read_total 5",
        "hostler_webhook_deliveries_total{outcome=\"gone\"} 1",
        "hostler_webhook_delivery_lag_seconds_count 1",
        "hostler_webhook_commands_total{kind=\"store_memory\",outcome=\"done\"} 1",
        "hostler_mcp_calls_total{kind=\"wait_task\",outcome=\"refused\"} 1",
        "hostler_event_subscribers 4",
        "hostler_event_subscribers_dropped_total 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"));
}
