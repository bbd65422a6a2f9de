//! The engine's decisions against the naive model and Airflow's own runs, and the checker itself.

#[cfg(test)]
mod airflow;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod random;
