//! Limits in time of the engine's work with the database: a network that was cut says nothing, and
//! the operating system takes a quarter of an hour to give up.

use std::time::Duration;

use subak_store::StoreError;

use super::Core;

impl Core {
    /// What one transaction, or one look of a loop, comes to with a database that answers.
    pub(crate) fn within<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        within(self.config.answer_within, work)
    }

    /// The answer to one question.
    pub(crate) fn asked<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        self.within(async { Ok(question.await?) })
    }
}

/// What `work` comes to within `limit`; later it is an error that another try may mend. The work is
/// dropped where it stands, and with it the connection that does not answer.
pub(super) fn within<T>(
    limit: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> impl Future<Output = anyhow::Result<T>> {
    // Boxed here: it would be in each of the futures around it otherwise.
    let work = Box::pin(work);
    async move {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Silent(limit).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_an_error_that_another_try_may_mend() {
        let long = Duration::from_secs(600);
        assert_eq!(within(long, async { Ok(1) }).await.unwrap(), 1);
        let silence = std::future::pending::<anyhow::Result<()>>();
        let silent = within(Duration::from_millis(1), silence).await;
        let error = silent.unwrap_err();
        assert!(error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient));
    }
}
