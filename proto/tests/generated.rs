//! The committed code is what the protocol file says. `SUBAK_REGENERATE=1 cargo test -p subak-proto`
//! writes it anew.

use std::fs;
use std::path::Path;

#[test]
fn the_committed_code_is_the_protocol() -> anyhow::Result<()> {
    // Tests run in the folder of their crate; a path of the build would be that of another checkout, if the
    // target folder is shared.
    let root = Path::new(".");
    let descriptors = protox::compile([root.join("proto/worker.proto")], [root.join("proto")])?;
    let out = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .bytes(".subak.worker.v1.LogChunk.lz4")
        .bytes(".subak.worker.v1.Assignment.task")
        .bytes(".subak.worker.v1.RunInfo.conf")
        .bytes(".subak.worker.v1.RunInfo.params")
        .out_dir(out.path())
        .compile_fds(descriptors)?;
    let fresh = fs::read_to_string(out.path().join("subak.worker.v1.rs"))?;
    let committed = root.join("src/generated.rs");
    if std::env::var_os("SUBAK_REGENERATE").is_some() {
        fs::write(&committed, &fresh)?;
    }
    assert!(fs::read_to_string(&committed)? == fresh, "run with SUBAK_REGENERATE=1 and commit");
    Ok(())
}
