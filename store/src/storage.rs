//! The storage URL: what is too large for the database. Today that is a folder that all servers and
//! workers reach; the objects' names hold for any object store.
//!
//! Everything lies below `<installation>/<day>/`, the day of the run's creation: so it is dropped as
//! the database's partitions are, whole, and two installations never drop each other's.
//!
//! ```text
//! <installation>/<day>/runs/<run's UUID>/<task>/<map index>/<token>/…   datasets, written by workers
//! <installation>/<day>/xcoms/<run>/<task>-<map index>-<token>.json      large XComs, written by workers
//! <installation>/<day>/logs/<run>-<task>-<map index>-<token>/…          logs, written by servers
//! ```

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use subak_core::ids::RunKey;
use subak_core::xcom::{self, Large};
use uuid::Uuid;

use crate::StoreError;
use crate::engine::Fence;

/// Tries whose logs' sizes are remembered.
const SIZES_KEPT: usize = 10_000;

/// The storage URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(
        "storage `{0}`: only folders and file:// URLs are supported yet: name one with SUBAK_STORAGE"
    )]
    Unsupported(String),
    #[error("storage `{folder}`: the folder cannot be made: name another with SUBAK_STORAGE")]
    Folder {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("a large value lies under the storage URL: name it with SUBAK_STORAGE")]
    Unknown,
    #[error(
        "`{object}` cannot be read under the storage URL: servers and workers are to share it (SUBAK_STORAGE)"
    )]
    Unreadable {
        object: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Object(#[from] object_store::Error),
}

/// What lies under the storage URL.
#[derive(Debug)]
pub struct Storage {
    objects: LocalFileSystem,
    installation: String,
    /// Bytes that the database holds of a try's log, by session and token. A hint: it is counted where
    /// absent.
    sizes: Mutex<HashMap<(i64, i64), u64>>,
}

impl Storage {
    /// Opens a folder, or the folder of a `file://` URL; it is made if absent.
    pub fn open(location: &str, installation: &str) -> Result<Arc<Self>, StorageError> {
        let folder = folder(location)?;
        std::fs::create_dir_all(&folder).map_err(|source| StorageError::Folder {
            folder: folder.display().to_string(),
            source,
        })?;
        let objects = LocalFileSystem::new_with_prefix(&folder)?.with_automatic_cleanup(true);
        let installation = installation.to_owned();
        Ok(Arc::new(Self { objects, installation, sizes: Mutex::default() }))
    }

    /// Writes a part of a log; returns its name. Written twice, it is the same.
    pub(crate) async fn log_put(
        &self,
        of: &Fence,
        first_line: i64,
        lines: i64,
        bytes: Vec<u8>,
    ) -> Result<String, StorageError> {
        let (run, task) = (of.instance.run, of.instance.task.0);
        let (map_index, token) = (of.instance.map_index.0, of.token);
        let day = run.day();
        let place = format!(
            "{}/{day}/logs/{run}-{task}-{map_index}-{token}/{first_line:09}-{lines}.lz4",
            self.installation
        );
        self.objects.put(&Path::from(place.as_str()), bytes.into()).await?;
        Ok(place)
    }

    /// Reads an object.
    pub(crate) async fn get(&self, object: &str) -> Result<Vec<u8>, StorageError> {
        let found = self.objects.get(&Path::from(object)).await?;
        Ok(found.bytes().await?.to_vec())
    }

    /// Days of which something lies here.
    pub(crate) async fn days(&self) -> Result<Vec<NaiveDate>, StorageError> {
        let mine = Path::from(self.installation.as_str());
        let listed = self.objects.list_with_delimiter(Some(&mine)).await?;
        let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes everything of a day.
    pub(crate) async fn day_drop(&self, day: NaiveDate) -> Result<(), StorageError> {
        self.folder_drop(&format!("{}/{day}", self.installation)).await
    }

    /// Removes the datasets and large XComs of a run.
    pub(crate) async fn run_drop(&self, run: RunKey, uuid: Uuid) -> Result<(), StorageError> {
        let day = run.day();
        self.folder_drop(&format!("{}/{day}/runs/{uuid}", self.installation)).await?;
        self.folder_drop(&xcom::folder(&self.installation, run)).await
    }

    async fn folder_drop(&self, folder: &str) -> Result<(), StorageError> {
        let folder = Path::from(folder);
        let found = self.objects.list(Some(&folder)).map_ok(|object| object.location).boxed();
        let mut removed = self.objects.delete_stream(found);
        while let Some(removed) = removed.next().await {
            match removed {
                // Another server was quicker.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn size(&self, held: (i64, i64)) -> Option<u64> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(&held).copied()
    }

    pub(crate) fn set_size(&self, held: (i64, i64), bytes: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.len() >= SIZES_KEPT {
            sizes.clear();
        }
        sizes.insert(held, bytes);
    }
}

fn folder(location: &str) -> Result<std::path::PathBuf, StorageError> {
    let path = match location.split_once("://") {
        None => location,
        Some(("file", path)) => path,
        Some(_) => return Err(StorageError::Unsupported(location.to_owned())),
    };
    let path = FilePath::new(path);
    std::path::absolute(path)
        .map_err(|source| StorageError::Folder { folder: path.display().to_string(), source })
}

impl crate::Store {
    /// Keeps under `storage` what is too large for the database.
    #[must_use]
    pub fn with_storage(self, storage: Arc<Storage>) -> Self {
        Self { storage: Some(storage), ..self }
    }

    /// Reads a large value.
    pub async fn xcom_large(&self, object: &str) -> Result<Large, StoreError> {
        let storage = self.storage.as_ref().ok_or(StorageError::Unknown)?;
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| {
            StorageError::Unreadable { object: object.to_owned(), source }
        };
        let bytes = storage.get(object).await.map_err(|error| unreadable(error.into()))?;
        Ok(serde_json::from_slice(&bytes).map_err(|error| unreadable(error.into()))?)
    }

    /// Drops the large values of a run that was deleted.
    pub async fn xcoms_large_drop(&self, run: RunKey) -> Result<(), StoreError> {
        let Some(storage) = &self.storage else { return Ok(()) };
        Ok(storage.folder_drop(&xcom::folder(&storage.installation, run)).await?)
    }

    /// Drops what lies under the storage URL of days older than `keep_days` of which there is no run
    /// any more; returns these days. What a crash left behind is found by the next look.
    pub async fn storage_sweep(&self, keep_days: i32) -> Result<Vec<NaiveDate>, StoreError> {
        let Some(storage) = &self.storage else { return Ok(Vec::new()) };
        let days = storage.days().await?;
        let rows: Vec<(NaiveDate, bool)> = sqlx::query_as(
            "SELECT day, day < (now() AT TIME ZONE 'UTC')::date - $3 AND NOT EXISTS (
                 SELECT FROM run WHERE run_key >= first AND run_key < next
             ) FROM unnest($1::date[], $2::bigint[], $4::bigint[]) AS d (day, first, next)",
        )
        .bind(&days)
        .bind(days.iter().map(|day| RunKey::first_of(*day).0).collect::<Vec<_>>())
        .bind(keep_days)
        .bind(days.iter().map(|day| RunKey::first_of(next(*day)).0).collect::<Vec<_>>())
        .fetch_all(self.pool())
        .await?;
        let gone: Vec<NaiveDate> =
            rows.into_iter().filter(|(_, is_gone)| *is_gone).map(|(day, _)| day).collect();
        for day in &gone {
            storage.day_drop(*day).await?;
        }
        Ok(gone)
    }
}

fn next(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(NaiveDate::MAX)
}
