//! A DAG: its model, and the one parser of its YAML file.

pub mod model;
