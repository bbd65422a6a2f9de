//! How far consumer groups are, whoever they belong to: what they have committed, as brokers know it.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use subak_core::topic::{GroupMarks, TopicMarks};
use subak_task::TaskError;

use crate::topics::Asking;

/// Groups that one answer asks the brokers about: each needs a client of its own for a moment.
const GROUPS_MOST: usize = 20;

/// How the groups of pipelines begin.
const OWN: &str = "subak.";

/// Fills in the groups of topics. What brokers do not tell is no error: it is said to be missing.
pub(crate) fn find(asking: &Asking, topics: &mut [TopicMarks]) {
    if topics.iter().all(|topic| topic.partitions.is_empty()) {
        return;
    }
    let missing = match named(asking) {
        Ok(names) => {
            let asked = names.iter().take(GROUPS_MOST);
            let refused = asked.filter_map(|name| committed(asking, name, topics).err()).last();
            refused.or_else(|| {
                let more = names.len().checked_sub(GROUPS_MOST).filter(|more| *more > 0)?;
                Some(format!("{more} more groups were not asked about"))
            })
        }
        Err(error) => Some(error.message),
    };
    for topic in topics {
        topic.groups_missing.clone_from(&missing);
    }
}

/// All groups of the cluster, others' before those that show observers how far our pipelines are.
fn named(asking: &Asking) -> Result<Vec<String>, TaskError> {
    let found = asking.client.fetch_group_list(None, asking.left());
    let found = found.map_err(|error| asking.failure(&error))?;
    let mut names: Vec<String> = found.groups().iter().map(|it| it.name().to_owned()).collect();
    names.sort_by_cached_key(|name| (name.starts_with(OWN), name.clone()));
    Ok(names)
}

/// Adds what a group has committed to the topics that it reads; else why that is not known.
fn committed(asking: &Asking, group: &str, topics: &mut [TopicMarks]) -> Result<(), String> {
    let mut wanted = TopicPartitionList::new();
    for topic in &*topics {
        for part in &topic.partitions {
            wanted.add_partition(&topic.name, part.partition);
        }
    }
    let client = asking.target.member(group).map_err(|error| error.message)?;
    let found = client.committed_offsets(wanted, asking.left());
    let found =
        found.map_err(|error| format!("group `{group}`: {}", asking.failure(&error).message))?;
    for topic in topics {
        let of_topic = found.elements_for_topic(&topic.name);
        let committed: BTreeMap<i32, i64> = of_topic
            .iter()
            .filter_map(|it| match it.offset() {
                Offset::Offset(offset) => Some((it.partition(), offset)),
                _ => None,
            })
            .collect();
        if !committed.is_empty() {
            topic.groups.push(GroupMarks { group: group.to_owned(), committed });
        }
    }
    Ok(())
}
