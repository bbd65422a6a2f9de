use super::*;

const EVENTS: [TaskEvent; 10] = [
    TaskEvent::HeldBack,
    TaskEvent::Readied,
    TaskEvent::HandedOver,
    TaskEvent::Refused,
    TaskEvent::Settled(FinalState::Success),
    TaskEvent::Settled(FinalState::Skipped),
    TaskEvent::Overruled,
    TaskEvent::RetryLater,
    TaskEvent::Deferred,
    TaskEvent::Cleared,
];

#[test]
fn the_whole_transition_table_is_reviewed() {
    let mut table = String::new();
    for from in std::iter::once(None).chain(TaskState::ALL.map(Some)) {
        for event in EVENTS {
            let to = match TaskState::on(from, event) {
                Ok(Some(to)) => to.to_string(),
                Ok(None) => "no status".to_owned(),
                Err(_) => continue,
            };
            let from = from.map_or("no status".to_owned(), |state| state.to_string());
            table.push_str(&format!("{from} + {event:?} -> {to}\n"));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn nothing_but_a_clear_leaves_a_final_state() {
    // A branch may still skip what an upstream had failed.
    let overruled = (TaskState::UpstreamFailed, TaskEvent::Overruled);
    for from in TaskState::ALL.into_iter().filter(|state| state.is_final()) {
        for event in EVENTS.into_iter().filter(|event| *event != TaskEvent::Cleared) {
            let taken = TaskState::on(Some(from), event).is_ok();
            assert_eq!(taken, (from, event) == overruled, "{from}, {event:?}");
        }
    }
}

#[test]
fn every_state_is_read_back_as_it_is_written() {
    for state in TaskState::ALL {
        assert_eq!(TaskState::parse(state.as_str()), Some(state));
    }
}
