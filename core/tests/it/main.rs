//! The domain against what Airflow did, and what files of pipelines mean.

#[cfg(test)]
mod airflow;
#[cfg(test)]
#[allow(dead_code, reason = "each of the two crates that read the vectors needs a part of it")]
mod map_vectors;
#[cfg(test)]
mod mapping;
#[cfg(test)]
mod setups;
#[cfg(test)]
mod sinks;
#[cfg(test)]
#[allow(dead_code, reason = "each of the two crates that read the vectors needs a part of it")]
mod vectors;
