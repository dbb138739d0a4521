//! What is left for an application when its leg has gone.

use std::io;
use std::pin::pin;

use crate::deliver::tcp::taken;
use crate::stream::{Count, LAST_BYTES};
use crate::tunnel::socket::Socket;

/// Writes what a stream has brought, to its end, however long its reader takes. What the application says meanwhile is wanted by
/// nobody; closing the socket before that was read would reset it, and take back what was written.
pub(super) async fn deliver_whole(socket: &Socket, rest: &[u8], count: &Count) -> io::Result<()> {
    let mut discard = pin!(discard(socket));
    let mut ended = false;
    {
        let mut write = pin!(write(socket, rest, count));
        loop {
            tokio::select! {
                written = &mut write => break written?,
                // When it was broken, writing tells.
                () = &mut discard, if !ended => ended = true,
            }
        }
    }
    culvert_sys::tcp::end_sending(socket)?;
    if !ended {
        tokio::select! {
            () = discard => {}
            () = taken(socket) => {}
        }
    }
    Ok(())
}

/// Writes what a broken stream has brought, and then resets the connection.
pub(super) async fn deliver_last(socket: &Socket, rest: &[u8], count: &Count) {
    break_off(socket);
    let deliver = async {
        // A reset takes back what the other side has not got.
        if write(socket, rest, count).await.is_ok() {
            taken(socket).await;
        }
    };
    if tokio::time::timeout(LAST_BYTES, deliver).await.is_err() {
        tracing::debug!(after = ?LAST_BYTES, "last bytes were not taken before the reset (last bytes deadline)");
    }
}

/// Makes the close of an application's socket a reset, even when it was told that it has all.
pub(super) fn break_off(socket: &Socket) {
    // Fails only for what is not a socket.
    let _ = culvert_sys::tcp::reset_on_close(socket);
}

async fn write(socket: &Socket, mut rest: &[u8], count: &Count) -> io::Result<()> {
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write(rest) {
            Ok(written) => {
                count.add(written);
                rest = &rest[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads and forgets, until the end or a break.
async fn discard(socket: &Socket) {
    let mut unwanted = vec![0; 4096];
    while socket.readable().await.is_ok() {
        match socket.try_read(&mut unwanted) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
