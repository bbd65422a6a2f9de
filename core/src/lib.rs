//! The domain of Subak: DAG files and their model, operator parameters, schedules, states and the
//! one function that decides what may run. Pure: no I/O, no clock, no SQL.

pub mod connection;
pub mod dag;
pub mod decide;
pub mod explain;
pub mod hex;
pub mod ids;
pub mod json_schema;
pub mod letter;
pub mod operators;
pub mod problem;
pub mod range;
pub mod schedule;
pub mod state;
pub mod template;
pub mod text;
pub mod topic;
pub mod variable;
pub mod xcom;
