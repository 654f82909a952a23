//! The only place where a story pauses.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::bail;

/// How long a story waits for what must come. Long, because a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// How often it looks; and how often at what passes quickly.
const PAUSE: Duration = Duration::from_millis(40);
const SHORT_PAUSE: Duration = Duration::from_millis(3);

/// Looks again and again until there is something; what `look` could not find out counts as not there yet.
///
/// # Errors
/// When it did not come in time; tells the last error of `look`.
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    wait_for_within(PATIENCE, what, look).await
}

/// The same with a patience of its own.
///
/// # Errors
/// When it did not come in time; tells the last error of `look`.
pub async fn wait_for_within<T>(
    patience: Duration,
    what: &str,
    look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    look_again(PAUSE, patience, what, look).await
}

/// The same for what passes quickly: looks so often that it is seen.
///
/// # Errors
/// When it did not come in time; tells the last error of `look`.
pub async fn wait_closely<T>(
    patience: Duration,
    what: &str,
    look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    look_again(SHORT_PAUSE, patience, what, look).await
}

async fn look_again<T>(
    pause: Duration,
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let last_error = RefCell::new(None);
    let looking = async {
        loop {
            match look().await {
                Ok(Some(found)) => return found,
                Ok(None) => drop(last_error.take()),
                Err(error) => drop(last_error.replace(Some(error))),
            }
            tokio::time::sleep(pause).await;
        }
    };
    if let Ok(found) = tokio::time::timeout(patience, looking).await {
        return Ok(found);
    }
    match last_error.take() {
        Some(error) => Err(error.context(format!("waited {} s for {what}", patience.as_secs()))),
        None => bail!("waited {} s for {what}", patience.as_secs()),
    }
}

/// Looks again and again until it is so.
///
/// # Errors
/// When it did not become so in time.
pub async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    wait_for(what, async || Ok(is_so().await.then_some(()))).await
}
