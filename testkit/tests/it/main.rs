//! The engine's decisions against the naive model and Airflow's own runs, and the checker itself.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod engine;
#[cfg(test)]
#[path = "../../../core/tests/it/map_vectors.rs"]
#[allow(dead_code, reason = "each of the two crates that read the vectors needs a part of it")]
mod map_vectors;
#[cfg(test)]
mod random;
mod storage;
#[cfg(test)]
#[path = "../../../core/tests/it/vectors.rs"]
#[allow(dead_code, reason = "each of the two crates that read the vectors needs a part of it")]
mod vectors;

/// The first seed of random DAGs: `SUBAK_FIRST_SEED`, or 0.
#[cfg(test)]
fn first_seed() -> u64 {
    std::env::var("SUBAK_FIRST_SEED").map_or(0, |text| text.parse().unwrap())
}
#[cfg(test)]
mod schedule;
