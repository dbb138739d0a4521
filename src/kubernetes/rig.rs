//! For tests: a client of an API server that breaks on command.

use culvert_lab::api_server::ApiServer;

use crate::{Client, client};

pub(crate) fn client(api: &ApiServer) -> Client {
    client::at(api.url().parse().unwrap()).unwrap()
}
