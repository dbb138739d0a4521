//! The runtime of commands that talk to a node: one thread, made when it is needed and gone with what it ran.

use culvert_process::exit::Failure;
use tokio::runtime::Builder;

/// The runtime cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start; the process may be out of descriptors")]
struct NoRuntime(#[source] std::io::Error);

/// Runs something that waits to its end.
///
/// # Errors
/// When no runtime can be made.
pub(crate) fn to_the_end<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::runtime(NoRuntime(error)))?;
    let done = runtime.block_on(work);
    // A name that is still being looked up must not hold the program back.
    runtime.shutdown_background();
    Ok(done)
}
