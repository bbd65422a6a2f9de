//! Takes the rows that several threads have made, in the order in which their records were fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism, scope};

use rdkafka::message::BorrowedMessage;
use subak_task::{DatasetWriter, TaskError};
use tokio::runtime::Handle;

use super::Consume;
use super::make::{Fetched, Made, make_all};
use super::read::{Reading, Totals};
use super::rejects::Rejects;
use super::topic::{Topic, known};
use crate::record::{Rows, left_out};

/// Threads that make rows: fetching and writing need a core, too.
const MAKERS_MOST: usize = 4;
/// Batches that wait for each thread, and that it has made and nobody has taken yet.
const AHEAD: usize = 1;

/// What one thread has made, or why it could not.
type FromMaker<'a> = Receiver<Result<Made<'a>, TaskError>>;

/// Rows being taken.
pub(super) struct Taking<'a> {
    topic: &'a Topic,
    consume: &'a Consume,
    writer: Box<dyn DatasetWriter>,
    last: BTreeMap<i32, BorrowedMessage<'a>>,
    rejects: Rejects<'a>,
    totals: Totals,
}

/// How many threads make rows.
pub(super) fn makers() -> usize {
    available_parallelism().map_or(1, usize::from).min(MAKERS_MOST)
}

impl<'a> Taking<'a> {
    pub(super) fn new(
        consume: &'a Consume,
        topic: &'a Topic,
        writer: Box<dyn DatasetWriter>,
        handle: Handle,
    ) -> Self {
        let (last, totals) = (BTreeMap::new(), Totals::default());
        Self { topic, consume, writer, last, rejects: Rejects::new(consume, handle), totals }
    }

    /// Reads everything; each of `makers` makes rows on a thread of its own. Blocks.
    pub(super) fn finish(
        self,
        mut reading: Reading<'a>,
        makers: Vec<Rows>,
    ) -> Result<(Box<dyn DatasetWriter>, Totals), TaskError> {
        let topic = self.topic.name.as_str();
        let (taken, others) = scope(|scope| {
            let (mut to_make, mut made, mut making) = (Vec::new(), Vec::new(), Vec::new());
            for rows in makers {
                let (sender, fetched) = sync_channel::<Fetched<'a>>(AHEAD);
                let (to_take, from_maker) = sync_channel(AHEAD);
                let make = move || make_all(rows, topic, &fetched, &to_take);
                making.push(spawn(scope, "records", make)?);
                to_make.push(sender);
                made.push(from_maker);
            }
            let taking = spawn(scope, "rows", move || self.take_all(&made))?;
            let fetched = reading.fetch(&to_make);
            drop(to_make);
            let taken = ended(taking);
            let makers: Vec<Rows> = making.into_iter().map(ended).collect::<Result<_, _>>()?;
            // Where rows could not be taken, fetching ended early: that reason is told first.
            let taken = taken?.and_then(|taken| fetched.map(|()| taken))?;
            Ok((taken, makers.iter().flat_map(Rows::others).collect::<BTreeSet<String>>()))
        })?;
        left_out(&others).iter().for_each(|others| taken.consume.ctx.log(others));
        let (writer, totals) = taken.end()?;
        Ok((writer, Totals { took: reading.took(), ..totals }))
    }

    /// Takes what the threads have made: they were given records in turn.
    fn take_all(mut self, makers: &[FromMaker<'a>]) -> Result<Self, TaskError> {
        // A thread that has no more would have had the next ones.
        for made in makers.iter().cycle().map_while(|maker| maker.recv().ok()) {
            self.take(made?)?;
        }
        Ok(self)
    }

    fn take(&mut self, made: Made<'a>) -> Result<(), TaskError> {
        self.totals.records += made.records;
        self.totals.bytes += made.bytes;
        self.totals.tombstones += made.tombstones;
        made.rejected.into_iter().try_for_each(|row| self.rejects.take(row))?;
        self.last.extend(made.last);
        self.writer.write(&made.rows)
    }

    /// After the last record of the range. Blocks.
    fn end(mut self) -> Result<(Box<dyn DatasetWriter>, Totals), TaskError> {
        self.rejects.send()?;
        self.totals.rejected = self.rejects.count;
        let last = self.last.iter().map(|(partition, message)| (*partition, known(message)));
        self.totals.last = last.collect();
        Ok((self.writer, self.totals))
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, TaskError> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| TaskError::permanent(format!("starting a thread: {error}")))
}

fn ended<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, TaskError> {
    thread.join().map_err(|_| TaskError::permanent("making rows of records panicked"))
}
