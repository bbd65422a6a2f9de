//! How far pipelines are behind their topics: what brokers say, beside the ranges that are recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use subak_core::topic::{ClusterMarks, PartitionMarks, lag};
use subak_store::StoreError;
use subak_store::read::PipelineRecord;

use super::{Answer, GroupLag, Topics};

/// Connections that are asked at once at most.
const CONNECTIONS_MOST: usize = 32;

/// The lag of every pipeline.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    pub(crate) pipelines: Vec<PipelineLag>,
    /// Whoever else reads their topics, and what observers are told of ours.
    pub(crate) groups: Vec<GroupLag>,
    /// Whether the brokers of a connection were heard; if not, why.
    pub(crate) heard: BTreeMap<String, Option<String>>,
}

/// A pipeline and its topic.
#[derive(Debug, Clone)]
pub(crate) struct PipelineLag {
    pub(crate) record: PipelineRecord,
    pub(crate) partitions: Vec<PartitionLag>,
    /// Why offsets of the brokers are missing.
    pub(crate) missing: Option<String>,
}

/// A pipeline and a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionLag {
    pub(crate) partition: i32,
    pub(crate) low: Option<i64>,
    pub(crate) high: Option<i64>,
    /// Behind the last record that was read, or that a range spans.
    pub(crate) position: Option<i64>,
    /// Up to here every sink has it.
    pub(crate) loaded: Option<i64>,
    /// Offsets between what is loaded and the topic's end; of a pipeline that has not begun none.
    pub(crate) lag: Option<i64>,
}

impl PipelineLag {
    /// Of all partitions together, if it is known of each.
    pub(crate) fn total(&self) -> Option<i64> {
        if self.partitions.is_empty() {
            return None;
        }
        self.partitions.iter().map(|part| part.lag).sum()
    }

    fn new(record: PipelineRecord, marks: Option<&Answer<ClusterMarks>>) -> Self {
        let found = marks.map(|answer| match &**answer {
            Ok(marks) => of_topic(marks, &record),
            Err(why) => Err(why.clone()),
        });
        let found = found.unwrap_or_else(|| Err("more connections than are asked at once".into()));
        let (marks, missing) = match found {
            Ok(marks) => (marks, marks.iter().find_map(|part| part.missing.clone())),
            Err(why) => (&[][..], Some(why)),
        };
        // A partition may have been added, or its brokers be away.
        let known = record.newest.iter().map(|part| part.partition);
        let all: BTreeSet<i32> = known.chain(marks.iter().map(|part| part.partition)).collect();
        let partition = |partition: i32| {
            let marks = marks.iter().find(|part| part.partition == partition);
            let (low, high) = marks.map_or((None, None), |it| (it.low, it.high));
            // One that was added after the newest range is read from its beginning.
            let begun = if record.newest.is_empty() { None } else { low };
            let position = record.position(partition).or(begun);
            let loaded = record.loaded(partition).or(begun);
            PartitionLag { partition, low, high, position, loaded, lag: lag(high, loaded) }
        };
        let partitions = all.into_iter().map(partition).collect();
        Self { record, partitions, missing }
    }
}

/// What brokers say of a pipeline's topic.
fn of_topic<'m>(
    marks: &'m ClusterMarks,
    record: &PipelineRecord,
) -> Result<&'m [PartitionMarks], String> {
    if let (Some(now), Some(then)) = (&marks.cluster, &record.cluster)
        && now != then
    {
        return Err(format!("it was read from another cluster ({then}) than the connection's"));
    }
    let found = marks.topics.iter().find(|topic| topic.name == record.topic);
    match found {
        Some(topic) if !topic.partitions.is_empty() => Ok(&topic.partitions),
        _ if record.topic.contains("{{") => {
            Err("its topic is a template, and no run has read yet".into())
        }
        _ => Err(format!("the brokers have no topic `{}`", record.topic)),
    }
}

impl Topics {
    /// The lag of every pipeline; brokers that are away are said to be.
    pub(crate) async fn lags(&self) -> Result<Arc<Lags>, StoreError> {
        // An error is not kept: the next one asks again.
        let pipelines = self.inner.store.pipelines().await?;
        Ok(self.inner.lags.get((), || self.find(pipelines)).await)
    }

    async fn find(&self, pipelines: Vec<PipelineRecord>) -> Arc<Lags> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for it in pipelines.iter().filter(|it| !it.topic.contains("{{")) {
            wanted.entry(&it.connection).or_default().insert(&it.topic);
        }
        let asking = wanted.into_iter().take(CONNECTIONS_MOST).map(async |(connection, topics)| {
            let topics: Vec<String> = topics.into_iter().map(str::to_owned).collect();
            (connection.to_owned(), self.marks(connection, &topics).await)
        });
        let marks: BTreeMap<String, Answer<ClusterMarks>> =
            join_all(asking).await.into_iter().collect();
        let heard = |(id, answer): (&String, &Answer<ClusterMarks>)| {
            (id.clone(), answer.as_ref().as_ref().err().cloned())
        };
        let groups =
            marks.iter().filter_map(|(id, answer)| Some((id, answer.as_ref().as_ref().ok()?)));
        let groups = groups
            .flat_map(|(id, marks)| marks.topics.iter().flat_map(|topic| GroupLag::of(id, topic)))
            .collect();
        Arc::new(Lags {
            groups,
            heard: marks.iter().map(heard).collect(),
            pipelines: pipelines
                .into_iter()
                .map(|record| {
                    let marks = marks.get(&record.connection);
                    PipelineLag::new(record, marks)
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use subak_core::range::Partition;
    use subak_core::topic::TopicMarks;

    use super::*;

    fn part(partition: i32, from: i64, to: i64) -> Partition {
        Partition { partition, after: from, from, to, last: None }
    }

    fn record(newest: Vec<Partition>, open: Vec<Partition>) -> PipelineRecord {
        PipelineRecord {
            dag_id: "drain".into(),
            task_id: "read".into(),
            connection: "broker".into(),
            topic: "orders".into(),
            cluster: Some("c".into()),
            open_ranges: i64::from(!open.is_empty()),
            newest,
            open,
        }
    }

    fn marks(parts: &[(i32, i64, i64)]) -> Answer<ClusterMarks> {
        let part = |(partition, low, high): &(i32, i64, i64)| PartitionMarks {
            partition: *partition,
            leader: Some(1),
            replicas: 1,
            in_sync: 1,
            low: Some(*low),
            high: Some(*high),
            missing: None,
        };
        let topic = TopicMarks {
            name: "orders".into(),
            partitions: parts.iter().map(part).collect(),
            groups: Vec::new(),
            groups_missing: None,
        };
        Arc::new(Ok(ClusterMarks { cluster: Some("c".into()), topics: vec![topic] }))
    }

    #[test]
    fn lag_counts_what_is_not_in_every_sink() {
        let record = record(vec![part(0, 5, 10)], vec![part(0, 2, 5)]);
        let lag = PipelineLag::new(record, Some(&marks(&[(0, 0, 12), (1, 3, 7)])));
        let shown: Vec<_> =
            lag.partitions.iter().map(|it| (it.position, it.loaded, it.lag)).collect();
        // Partition 1 came later: it is read from its first record on.
        assert_eq!(shown, [(Some(10), Some(2), Some(10)), (Some(3), Some(3), Some(4))]);
        assert_eq!((lag.total(), lag.missing), (Some(14), None));
    }

    #[test]
    fn what_is_not_known_is_missing_with_its_reason() {
        let away = Arc::new(Err("no worker is connected".to_owned()));
        let lag = PipelineLag::new(record(vec![part(0, 5, 10)], vec![]), Some(&away));
        assert_eq!((lag.total(), lag.partitions[0].loaded), (None, Some(10)));
        assert_eq!(lag.missing.as_deref(), Some("no worker is connected"));

        let begun = PipelineLag::new(record(vec![], vec![]), Some(&marks(&[(0, 0, 12)])));
        assert_eq!((begun.total(), begun.partitions[0].high), (None, Some(12)));

        let mut other = record(vec![part(0, 5, 10)], vec![]);
        other.cluster = Some("former".into());
        let lag = PipelineLag::new(other, Some(&marks(&[(0, 0, 12)])));
        assert!(lag.missing.unwrap().contains("another cluster (former)"));

        let mut gone = record(vec![], vec![]);
        gone.topic = "none".into();
        let lag = PipelineLag::new(gone, Some(&marks(&[])));
        assert_eq!(lag.missing.as_deref(), Some("the brokers have no topic `none`"));
    }
}
