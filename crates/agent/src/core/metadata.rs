//! Tasks as the metadata endpoint asks for them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use api::task::Status;
use futures_util::future::{BoxFuture, FutureExt};
use protocol::guest::Usage;

use super::Core;
use crate::metadata::Tasks;
use crate::ports::Failure;
use crate::record::TaskRecord;

impl Tasks for Core {
    fn at(&self, address: Ipv4Addr) -> Option<Arc<TaskRecord>> {
        let has_it = |record: &Arc<TaskRecord>| {
            record.status != Status::Stopped
                && record
                    .network
                    .as_ref()
                    .is_some_and(|network| network.address == address)
        };
        self.list().into_iter().find(has_it)
    }

    fn measure<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<Usage>, Failure>> {
        async { Ok(Self::measure(self, id).await?) }.boxed()
    }
}
