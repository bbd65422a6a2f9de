//! Queues that may have ready work in the database which no slot was free for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A flag for each queue, with a generation: whoever looked and found nothing left may lower the
/// flag only if nobody raised it since it began to look.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    queues: Mutex<HashMap<String, Flag>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Flag {
    raised: bool,
    generation: u64,
}

impl Backlog {
    /// Says that `queue` may have ready work.
    pub(crate) fn raise(&self, queue: &str) {
        let mut queues = self.lock();
        match queues.get_mut(queue) {
            Some(flag) => *flag = Flag { raised: true, generation: flag.generation + 1 },
            None => {
                queues.insert(queue.to_owned(), Flag { raised: true, generation: 1 });
            }
        }
    }

    /// Whether `queue` may have ready work.
    pub(crate) fn is_raised(&self, queue: &str) -> bool {
        self.lock().get(queue).is_some_and(|flag| flag.raised)
    }

    /// Queues that may have ready work, each with the generation to lower it by.
    pub(crate) fn raised(&self) -> Vec<(String, u64)> {
        let queues = self.lock();
        let raised = queues.iter().filter(|(_, flag)| flag.raised);
        raised.map(|(queue, flag)| (queue.clone(), flag.generation)).collect()
    }

    /// Says that a look which began at `generation` took all there was.
    pub(crate) fn lower(&self, queue: &str, generation: u64) {
        if let Some(flag) = self.lock().get_mut(queue)
            && flag.generation == generation
        {
            flag.raised = false;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Flag>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_raised_during_a_look_stays_up() {
        let backlog = Backlog::default();
        backlog.raise("default");
        let seen = backlog.raised();
        backlog.raise("default");
        backlog.lower("default", seen[0].1);
        assert!(backlog.is_raised("default"));
        let seen = backlog.raised();
        backlog.lower("default", seen[0].1);
        assert!(!backlog.is_raised("default"));
    }
}
