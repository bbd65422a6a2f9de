//! Tells rows that keep every rule from rows that don't, a batch at a time.

mod check;
mod unique;

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::SessionContext;
use subak_core::operators::validate::Rule;

use self::check::{Check, Compiler};
use self::unique::Unique;
use crate::error::DataError;
use crate::sql::first_row;

/// The rules of a task, ready to be asked.
pub(crate) struct Validator {
    checks: Vec<Check>,
    uniques: Vec<Unique>,
}

/// A batch, divided.
pub(crate) struct Validated {
    /// Rows that keep every rule, in their order.
    pub kept: RecordBatch,
    /// The others: where in the batch, and which rules they break, each by its reason.
    pub rejected: Vec<(usize, Vec<String>)>,
}

impl Validator {
    /// Prepares rules for rows of a schema; what they remember stays below `memory_bytes`.
    pub(crate) fn new(
        rules: &[Rule],
        schema: &SchemaRef,
        session: &SessionContext,
        memory_bytes: usize,
    ) -> Result<Self, DataError> {
        let compiler = Compiler::new(session, schema)?;
        let mut checks = Vec::new();
        let mut uniques = Vec::new();
        let share = memory_bytes / rules.iter().filter(|rule| rule.unique).count().max(1);
        for (number, rule) in (1..).zip(rules) {
            let named = |error: DataError| error.within(&format!("rule {number}"));
            checks.extend(compiler.checks(number, rule).map_err(named)?);
            if let (true, Some(column)) = (rule.unique, &rule.column) {
                let values = compiler.values(column).map_err(named)?;
                uniques.push(Unique::new(column.clone(), rule.reason.clone(), values, share));
            }
        }
        Ok(Self { checks, uniques })
    }

    /// Divides a batch. Batches come in the order of the dataset: the first of several rows with a
    /// value that must be unique is kept.
    pub(crate) fn divide(&mut self, batch: &RecordBatch) -> Result<Validated, DataError> {
        let mut reasons: Vec<Vec<String>> = vec![Vec::new(); batch.num_rows()];
        for check in &self.checks {
            let broken = check.broken(batch)?;
            for at in true_places(&broken) {
                // The same words for two rules of a column say nothing more.
                if !reasons[at].contains(&check.reason) {
                    reasons[at].push(check.reason.clone());
                }
            }
        }
        self.divide_by_uniqueness(batch, &mut reasons)?;
        let keeps: BooleanArray = reasons.iter().map(|reasons| Some(reasons.is_empty())).collect();
        let rejected = reasons.into_iter().enumerate().filter(|(_, reasons)| !reasons.is_empty());
        Ok(Validated { kept: filter_record_batch(batch, &keeps)?, rejected: rejected.collect() })
    }

    /// Says for which row of a batch a rule failed to be computed, and why; `before` rows of `dataset` came
    /// earlier.
    pub(crate) fn explained(
        &self,
        error: DataError,
        batch: &RecordBatch,
        dataset: &str,
        before: u64,
    ) -> DataError {
        match self.checks.iter().find_map(|check| check.uncomputed(batch)) {
            Some((at, what)) => {
                let place = first_row::place(batch, at, dataset, before);
                DataError::permanent(format!("{place}: {what}"))
            }
            None => error,
        }
    }

    fn divide_by_uniqueness(
        &mut self,
        batch: &RecordBatch,
        reasons: &mut [Vec<String>],
    ) -> Result<(), DataError> {
        if self.uniques.is_empty() {
            return Ok(());
        }
        let keys = self.uniques.iter_mut().map(|unique| unique.keys(batch));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        for (at, reasons) in reasons.iter_mut().enumerate() {
            for (unique, keys) in self.uniques.iter().zip(&keys) {
                if keys[at].is_some_and(|key| unique.has(key)) {
                    reasons.push(unique.reason.clone());
                }
            }
            // A rejected row does not keep a later one with its value out.
            if reasons.is_empty() {
                for (unique, keys) in self.uniques.iter_mut().zip(&keys) {
                    keys[at].map_or(Ok(()), |key| unique.add(key))?;
                }
            }
        }
        Ok(())
    }
}

/// The places of those that are true: neither false nor null.
fn true_places(answers: &BooleanArray) -> Vec<usize> {
    match answers.nulls() {
        Some(nulls) => (answers.values() & nulls.inner()).set_indices().collect(),
        None => answers.values().set_indices().collect(),
    }
}
