//! The operators that this worker knows, by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use subak_task::ErasedOperator;

use crate::operators::{
    BashOperator, BranchOperator, LatestOnlyOperator, Noop, PythonOperator, ShortCircuitOperator,
};

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    operators: BTreeMap<&'static str, Arc<dyn ErasedOperator>>,
}

impl Registry {
    /// Every operator that is built in. `grace` is what a process has between TERM and KILL.
    pub(crate) fn built_in(grace: Duration) -> Self {
        let mut registry = Self::default();
        registry.add(Arc::new(Noop));
        registry.add(Arc::new(BranchOperator));
        registry.add(Arc::new(ShortCircuitOperator));
        registry.add(Arc::new(LatestOnlyOperator));
        registry.add(Arc::new(BashOperator { grace }));
        registry.add(Arc::new(PythonOperator { grace }));
        for operator in subak_tasks_data::operators()
            .into_iter()
            .chain(subak_tasks_feed::operators())
            .chain(subak_tasks_kafka::operators())
            .chain(subak_tasks_sql::operators())
        {
            registry.add(operator);
        }
        registry
    }

    /// Adds an operator, in the stead of another one of its name.
    pub(crate) fn add(&mut self, operator: Arc<dyn ErasedOperator>) {
        self.operators.insert(operator.name(), operator);
    }

    /// Returns the operator of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn ErasedOperator>> {
        self.operators.get(name)
    }
}
