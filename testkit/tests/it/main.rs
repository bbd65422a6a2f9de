//! The engine's decisions against the naive model and against Airflow's own runs.

#[cfg(test)]
mod airflow;
#[cfg(test)]
mod random;
