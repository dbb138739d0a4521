//! The mesh in a file: understood or rejected with a place that is in it, the same every time, within bounded memory.

use culvert_core::mesh_file;

use crate::memory::Bound;

/// The bytes are the file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let bound = Bound::new((1 << 20) + 2_000 * data.len());
    let parsed = mesh_file::parse(text);
    bound.check();
    assert_eq!(mesh_file::parse(text), parsed);
    if let Err(error) = parsed {
        // Line and column 0: of the file as a whole.
        assert!(error.line <= text.split(['\n', '\r']).count() as u64 + 1, "{error}");
        assert!(!error.message.is_empty());
    }
}
