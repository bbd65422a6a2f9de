//! The domain against what Airflow did.

#[cfg(test)]
mod airflow;
#[cfg(test)]
mod mapping;
#[cfg(test)]
#[allow(dead_code, reason = "each of the two crates that read the vectors needs a part of it")]
mod vectors;
