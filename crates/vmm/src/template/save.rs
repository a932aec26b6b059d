//! Writes a guest that rests at its doorbell as a template.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::state::State;
use super::{MEMORY, STATE, TemplateError};
use crate::x86_64::layout::BASE;

/// The size of a page: what is all zeros stays a hole.
const PAGE_BYTES: usize = 4096;

/// How much is looked at at once.
const CHUNK_BYTES: usize = 2 << 20;

/// The files of a template that is to be saved, which are empty.
#[derive(Debug)]
pub struct Files {
    state: (PathBuf, File),
    memory: (PathBuf, File),
}

impl Files {
    /// Makes them in `directory`, in which there are none yet.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub fn create(directory: &Path) -> Result<Self, TemplateError> {
        let create = |name| {
            let path = directory.join(name);
            match File::create_new(&path) {
                Ok(file) => Ok((path, file)),
                Err(source) => Err(failed(&path, source)),
            }
        };
        Ok(Self {
            memory: create(MEMORY)?,
            state: create(STATE)?,
        })
    }

    /// Writes `state` and base memory into them. Nothing of the guest may run meanwhile.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn save(&self, state: &State, memory: &GuestMemoryMmap) -> Result<(), TemplateError> {
        let (path, file) = &self.state;
        file.write_all_at(&state.encode(), 0)
            .map_err(|source| failed(path, source))?;
        let (path, file) = &self.memory;
        write_memory(file, memory).map_err(|source| failed(path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> TemplateError {
    TemplateError::File {
        attempted: "write",
        path: path.to_owned(),
        source,
    }
}

fn write_memory(file: &File, memory: &GuestMemoryMmap) -> io::Result<()> {
    file.set_len(BASE.bytes)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    for start in (0..BASE.bytes).step_by(CHUNK_BYTES) {
        let read = memory.read_slice(&mut chunk, GuestAddress(start));
        read.map_err(io::Error::other)?;
        let mut offset = start;
        for page in chunk.chunks(PAGE_BYTES) {
            if !is_zero(page) {
                file.write_all_at(page, offset)?;
            }
            offset += PAGE_BYTES as u64;
        }
    }
    Ok(())
}

fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<{ size_of::<u64>() }>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use crate::template::Template;
    use crate::x86_64::{ChipState, VcpuState};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn memory_comes_back_and_zeros_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let original = memory::guest(vec![memory::anonymous(BASE).unwrap()]).unwrap();
        let last = GuestAddress(BASE.bytes - 1);
        original.write_obj(7_u8, GuestAddress(5000)).unwrap();
        original.write_obj(9_u8, last).unwrap();
        let state = State {
            vcpu: VcpuState::default(),
            chips: ChipState::default(),
            slots: Vec::new(),
        };
        Files::create(folder.path()).unwrap().save(&state, &original).unwrap();
        let template = Template::open(folder.path()).unwrap();
        assert!(template.memory.metadata().unwrap().blocks() * 512 <= 1 << 20);
        let copy = memory::guest(vec![memory::copy_of(&template.memory, BASE).unwrap()]).unwrap();
        assert_eq!(copy.read_obj::<u8>(GuestAddress(5000)).unwrap(), 7);
        assert_eq!(copy.read_obj::<u8>(last).unwrap(), 9);
        assert_eq!(copy.read_obj::<u8>(GuestAddress(0)).unwrap(), 0);
    }

    #[test]
    fn a_template_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MEMORY), "precious").unwrap();
        assert!(Files::create(folder.path()).is_err());
        assert_eq!(std::fs::read(folder.path().join(MEMORY)).unwrap(), b"precious");
    }
}
