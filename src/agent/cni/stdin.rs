//! What a runtime writes to the plugin's stdin: as much of it as is read, within a deadline.

use std::io::{self, Read as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use culvert_cni::{Code, Error, MAX_INPUT};

/// A runtime writes the configuration as it starts the plugin.
const DEADLINE: Duration = Duration::from_secs(2);

/// Reads the configuration, all of it or one byte too many, and not for ever.
pub(super) fn read() -> Result<Vec<u8>, Error> {
    let (sender, receiver) = mpsc::channel();
    // Ends with the process if the runtime never closes its end.
    thread::spawn(move || {
        let mut input = Vec::new();
        let result = io::stdin().lock().take(MAX_INPUT as u64 + 1).read_to_end(&mut input);
        // Nobody waits any more after the deadline.
        let _ = sender.send(result.map(|_| input));
    });
    let unread =
        |why: String| Error::early(Code::Input, "the configuration cannot be read from stdin").because(why);
    receiver
        .recv_timeout(DEADLINE)
        .map_err(|_| unread(format!("the runtime has not closed it within {DEADLINE:?}")))?
        .map_err(|error| unread(error.to_string()))
}
