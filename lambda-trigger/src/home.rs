//! A runtime of one's own. The rule: it starts with the first piece of work, because a process that runs as a daemon has
//! no threads before it has forked; and it ends without waiting, for nobody is left to be told.
//!
//! A connection is served by the runtime that opened it. Hosts have several, some of which run only now and then or end
//! early; whoever keeps connections keeps a home for them.

use std::io;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Where connections live.
#[derive(Debug)]
pub struct Home {
    name: &'static str,
    threads: usize,
    runtime: OnceCell<Runtime>,
}

impl Home {
    /// A home with this many threads, which have this name. Starts nothing.
    pub fn new(name: &'static str, threads: usize) -> Home {
        Home { name, threads, runtime: OnceCell::new() }
    }

    /// Begins a piece of work, which goes on to its end even if nobody waits for it; it fails only with the home.
    ///
    /// # Errors
    /// The threads cannot be started; the work was not begun.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let start =
            || Builder::new_multi_thread().worker_threads(self.threads).thread_name(self.name).enable_all().build();
        Ok(self.runtime.get_or_try_init(start)?.spawn(work))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
