//! The pages in `docs/errors` that explain what is wrong with a DAG file, one for each subject.

use serde::{Serialize, Serializer};

macro_rules! pages {
    ($($name:ident: $file:literal,)+) => {
        /// A page about mistakes in DAG files.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Page {
            $($name,)+
        }

        impl Page {
            /// Every page.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The page's name: the file's in `docs/errors`, without `.md`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $file,)+
                }
            }
        }
    };
}

pages! {
    Yaml: "dag-yaml",
    Size: "dag-size",
    Keys: "dag-keys",
    Values: "dag-values",
    Ids: "dag-ids",
    Dependencies: "dag-dependencies",
    Rules: "dag-trigger-rules",
    Groups: "dag-task-groups",
    Setups: "dag-setups",
    Branches: "dag-branches",
    Mapped: "dag-mapped-tasks",
    Past: "dag-past-runs",
    Limits: "dag-limits",
    Retries: "dag-retries",
    Timeouts: "dag-timeouts",
    Notices: "dag-notices",
    Schedules: "dag-schedules",
    Continuous: "dag-continuous",
    Params: "dag-params",
    Templates: "dag-templates",
    Commands: "dag-commands",
    Arguments: "dag-arguments",
    Topics: "dag-topics",
    Assets: "dag-assets",
}

impl Page {
    /// Where the page is: in the sources, and on every server.
    #[must_use]
    pub fn path(self) -> String {
        format!("docs/errors/{}", self.name())
    }

    /// The page about the values of a key of DAGs, tasks, groups, and what lies in these keys.
    pub(crate) fn of_key(key: &str) -> Self {
        match key {
            "schedule"
            | "timezone"
            | "start_date"
            | "end_date"
            | "catchup"
            | "max_active_runs"
            | "on_overlap"
            | "is_paused_upon_creation" => Self::Schedules,
            "max_active_tasks"
            | "pool"
            | "pool_slots"
            | "priority_weight"
            | "weight_rule"
            | "queue"
            | "max_active_tis_per_dag"
            | "max_active_tis_per_dagrun" => Self::Limits,
            "retries"
            | "retry_delay"
            | "retry_exponential_backoff"
            | "max_retry_delay"
            | "retry_jitter"
            | "retry_policy"
            | "exit_code"
            | "error"
            | "retry" => Self::Retries,
            "dagrun_timeout" | "execution_timeout" => Self::Timeouts,
            "on_failure" | "on_success" | "on_retry" | "connection" | "to" => Self::Notices,
            "depends_on_past"
            | "wait_for_downstream"
            | "ignore_first_depends_on_past"
            | "max_consecutive_failed_dag_runs" => Self::Past,
            "fail_fast" | "setup" | "teardown" | "setups" | "on_failure_fail_dagrun" => {
                Self::Setups
            }
            "task_groups" | "task_group" | "parent" | "tooltip" => Self::Groups,
            "trigger_rule" => Self::Rules,
            "when" => Self::Branches,
            "expand" | "partial" | "map_index_template" => Self::Mapped,
            "depends_on" | "dependencies" => Self::Dependencies,
            "dag_id" | "task_id" => Self::Ids,
            "default_args" => Self::Keys,
            "inlets" | "outlets" => Self::Assets,
            "operator" | "with" => Self::Arguments,
            "params" => Self::Params,
            _ => Self::Values,
        }
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path())
    }
}
