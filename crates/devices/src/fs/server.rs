//! Answers to requests: one request, one piece of work on the host's directory, one answer.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::fs::Shown;
use crate::fs::handles::Handles;
use crate::fs::nodes::{self, Nodes};
use crate::fs::reply::{self, HEADER_BYTES, Reply};
use crate::fs::request::{
    self, DATA_BYTES_MAX, Header, REQUEST_BYTES_MAX, Request, WRITE_HEAD_BYTES, brings_data, is_silent, parse_header,
};
use crate::ring::buffers::{Buffers, Span};
use crate::ring::server::Service;

/// What a driver has been told of a directory, and what it has open.
pub(super) struct Server {
    shown: Arc<Shown>,
    pub(super) nodes: Nodes,
    pub(super) handles: Handles,
}

/// A request that makes sense, with what belongs to it.
pub(super) struct Asked<'a> {
    pub(super) header: Header,
    /// What follows the head of a write.
    pub(super) data: Span<'a>,
    /// How long the answer may be without its header, in bytes.
    pub(super) room: usize,
}

impl Server {
    pub(super) fn of(shown: Arc<Shown>) -> Self {
        Self {
            nodes: Nodes::of(Arc::clone(&shown.root)),
            handles: Handles::default(),
            shown,
        }
    }

    /// A descriptor of a node, opened with `O_PATH`.
    pub(super) fn node(&mut self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        self.nodes.get(number)
    }

    /// `/proc/self/fd`, in which what a descriptor stands for can be named.
    pub(super) fn descriptors(&self) -> BorrowedFd<'_> {
        self.shown.descriptors.as_fd()
    }

    /// Opens what a node stands for.
    pub(super) fn reopen(&mut self, number: u64, flags: rustix::fs::OFlags) -> Result<File, Errno> {
        let node = self.node(number)?;
        nodes::reopen(self.descriptors(), &node, flags).map(File::from)
    }

    /// A node, by a name in [`Self::descriptors`] that lasts as long as the descriptor.
    pub(super) fn named(&mut self, number: u64) -> Result<(Arc<OwnedFd>, CString), Errno> {
        let node = self.node(number)?;
        let name = nodes::name(&node);
        Ok((node, name))
    }

    /// Refuses what would change a directory that cannot be written to.
    pub(super) fn check_writable(&self) -> Result<(), Errno> {
        if self.shown.is_read_only {
            Err(Errno::ROFS)
        } else {
            Ok(())
        }
    }

    fn perform(&mut self, request: Request<'_>, asked: &Asked<'_>) -> Result<Reply, Errno> {
        let node = asked.header.node;
        match request {
            Request::Begin { major, features } => {
                // The guest that begins knows of nothing. A newer one speaks this version, too.
                self.end();
                let features = if major == 7 { features } else { 0 };
                Ok(Reply::begin(features))
            }
            Request::End => {
                self.end();
                Ok(Reply::empty())
            }
            Request::Find(name) => {
                let (number, stat) = self.nodes.find(node, name)?;
                Ok(Reply::empty().entry(number, &stat))
            }
            Request::Forget(forgotten) => {
                for (number, count) in forgotten {
                    self.nodes.forget(number, count);
                }
                Ok(Reply::empty())
            }
            Request::Look { handle } => self.look(node, handle),
            Request::ReadLink => self.read_link(node),
            Request::Room => Ok(Reply::room(&rustix::fs::fstatvfs(self.node(node)?)?)),
            Request::GetAttribute { name, room } => self.get_attribute(node, name, room),
            Request::ListAttributes { room } => self.list_attributes(node, room),
            Request::Open { flags } => self.open(node, flags),
            Request::OpenDirectory => self.open_directory(node),
            Request::Close { handle } => {
                self.handles.close(handle);
                Ok(Reply::empty())
            }
            Request::Read(stretch) => self.read(stretch, asked),
            Request::List(stretch) => self.list(stretch, asked),
            Request::Synchronize { handle, only_data } => self.synchronize(handle, only_data),
            Request::Seek { handle, offset, whence } => self.seek(handle, offset, whence),
            changing => {
                self.check_writable()?;
                self.change_something(changing, asked)
            }
        }
    }

    fn change_something(&mut self, request: Request<'_>, asked: &Asked<'_>) -> Result<Reply, Errno> {
        let node = asked.header.node;
        match request {
            Request::Change(change) => self.change(node, &change),
            Request::MakeLink { name, target } => self.make_link(asked, name, target),
            Request::MakeNode { name, mode } => self.make_node(asked, name, mode),
            Request::MakeDirectory { name, mode } => self.make_directory(asked, name, mode),
            Request::Remove(name) => self.remove(node, name, rustix::fs::AtFlags::empty()),
            Request::RemoveDirectory(name) => self.remove(node, name, rustix::fs::AtFlags::REMOVEDIR),
            Request::Rename {
                directory,
                flags,
                from,
                to,
            } => self.rename((node, from), (directory, to), flags),
            Request::Link { node: linked, name } => self.link(linked, node, name),
            Request::Create { name, flags, mode } => self.create(asked, name, flags, mode),
            Request::Write(stretch) => self.write(stretch, asked),
            Request::SetAttribute { name, value, flags } => self.set_attribute(node, name, value, flags),
            Request::RemoveAttribute(name) => self.remove_attribute(node, name),
            Request::Allocate { stretch, mode } => self.allocate(stretch, mode),
            Request::Copy { from, handle, offset } => self.copy(from, handle, offset),
            // All others change nothing.
            _ => Err(Errno::NOSYS),
        }
    }

    fn end(&mut self) {
        self.nodes.clear();
        self.handles = Handles::default();
    }

    /// What is asked, and the answer.
    fn answer(&mut self, header: Header, buffers: &Buffers<'_>, room: usize) -> Result<Reply, Errno> {
        if usize::try_from(header.bytes) != Ok(buffers.readable.len()) {
            return Err(Errno::INVAL);
        }
        let (head, data) = if brings_data(header.opcode) {
            buffers.readable.split_at(WRITE_HEAD_BYTES)
        } else {
            (buffers.readable.clone(), Span::default())
        };
        if head.len() > REQUEST_BYTES_MAX {
            return Err(Errno::TOOBIG);
        }
        // A copy, which the guest cannot change any more. Of its header the one that was read before counts.
        let mut bytes = vec![0; head.len()];
        head.copy_to(&mut bytes);
        let body = bytes.get(request::HEADER_BYTES..).unwrap_or_default();
        let request = request::parse(&header, body)?;
        self.perform(request, &Asked { header, data, room })
    }
}

impl Service for Server {
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        let mut bytes = [0; request::HEADER_BYTES];
        if buffers.readable.copy_to(&mut bytes) < request::HEADER_BYTES {
            return Some(0);
        }
        let Ok(header) = parse_header(&bytes) else {
            return Some(0);
        };
        let room = buffers.writable.len().checked_sub(HEADER_BYTES);
        if is_silent(header.opcode) {
            // Nobody waits for it, and nobody is told of an error.
            let _ = self.answer(header, buffers, 0);
            return Some(0);
        }
        let Some(room) = room else { return Some(0) };
        let most = usize::try_from(DATA_BYTES_MAX).unwrap_or(usize::MAX);
        let reply = self.answer(header, buffers, room.min(most));
        let (reply, error) = match reply {
            Ok(reply) if reply.bytes().len() <= room => (reply, None),
            Ok(_) => (Reply::empty(), Some(Errno::INVAL)),
            Err(error) => (Reply::empty(), Some(error)),
        };
        let (front, back) = buffers.writable.split_at(HEADER_BYTES);
        front.copy_from(&reply::header(header.unique, reply.bytes().len(), error));
        back.copy_from(reply.bytes());
        Some(u32::try_from(HEADER_BYTES + reply.bytes().len()).unwrap_or(u32::MAX))
    }
}
