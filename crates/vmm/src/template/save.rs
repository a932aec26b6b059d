//! Writes a guest that rests at its doorbell as a template.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::state::State;
use super::{MEMORY, STATE, TemplateError};
use crate::x86_64::layout::BASE;

/// The size of a page: what is all zeros stays a hole.
const PAGE_BYTES: usize = 4096;

/// How much is looked at at once.
const CHUNK_BYTES: usize = 2 << 20;

/// Writes `state` and base memory into `directory`. Nothing of the guest may run meanwhile.
///
/// # Errors
/// Where a file cannot be written.
pub fn save(directory: &Path, state: &State, memory: &GuestMemoryMmap) -> Result<(), TemplateError> {
    let path = directory.join(STATE);
    let failed = |source| TemplateError::File {
        attempted: "write",
        path: path.clone(),
        source,
    };
    std::fs::write(&path, state.encode()).map_err(failed)?;
    let path = directory.join(MEMORY);
    let failed = |source| TemplateError::File {
        attempted: "write",
        path: path.clone(),
        source,
    };
    let file = File::create_new(&path).map_err(failed)?;
    file.set_len(BASE.bytes).map_err(failed)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    for start in (0..BASE.bytes).step_by(CHUNK_BYTES) {
        memory
            .read_slice(&mut chunk, GuestAddress(start))
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let mut offset = start;
        for page in chunk.chunks(PAGE_BYTES) {
            if !is_zero(page) {
                file.write_all_at(page, offset).map_err(failed)?;
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
        save(folder.path(), &state, &original).unwrap();
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
        let memory = memory::guest(vec![memory::anonymous(BASE).unwrap()]).unwrap();
        let state = State {
            vcpu: VcpuState::default(),
            chips: ChipState::default(),
            slots: Vec::new(),
        };
        assert!(save(folder.path(), &state, &memory).is_err());
        assert_eq!(std::fs::read(folder.path().join(MEMORY)).unwrap(), b"precious");
    }
}
