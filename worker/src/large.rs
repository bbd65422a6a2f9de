//! Large XComs: written under the storage URL by the try that returns one, read by the try that names it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use subak_core::xcom::{Large, packed};

/// Writes a value, whole or not at all; written twice, it is the same.
pub(crate) fn write(object: &Path, value: &[u8], shown: Option<&[u8]>) -> io::Result<()> {
    if let Some(folder) = object.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = object.with_extension("part");
    let mut file = File::create(&unfinished)?;
    file.write_all(&packed(value, shown))?;
    // The result that names it may be reported after the machine has failed.
    file.sync_all()?;
    fs::rename(unfinished, object)
}

/// Reads a value that task `task_id` has returned.
pub(crate) async fn read(object: PathBuf, task_id: &str) -> Result<Value, String> {
    let wrong = |why: String| {
        format!(
            "the XCom of task `{task_id}` lies at `{}`, where this worker cannot read it: {why}\nwhat to \
             do: give all workers and servers the same storage (SUBAK_STORAGE)",
            object.display()
        )
    };
    let bytes = tokio::fs::read(&object).await.map_err(|error| wrong(error.to_string()))?;
    let large: Large = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(large.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_read_as_it_was_written_and_a_missing_one_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let object = folder.path().join("a/b/1--1-7.json");
        write(&object, b"[1]", Some(b"[2]")).unwrap();
        write(&object, b"[1]", Some(b"[2]")).unwrap();
        assert_eq!(read(object.clone(), "a").await, Ok(Value::from(vec![1])));
        let missing = read(folder.path().join("none"), "a").await.unwrap_err();
        assert!(missing.contains("SUBAK_STORAGE"), "{missing}");
        assert_eq!(fs::read_dir(object.parent().unwrap()).unwrap().count(), 1);
    }
}
