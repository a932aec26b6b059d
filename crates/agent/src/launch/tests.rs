//! What an earlier host agent has left of a microVM.

use std::fs;

use super::*;

#[tokio::test]
async fn of_a_microvm_that_ended_while_nobody_looked_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    let microvms = root.path().join("microvms");
    let cgroup = root.path().join("cgroup/mote/1.1");
    for directory in [&microvms.join("1.1"), &cgroup] {
        fs::create_dir_all(directory).unwrap();
    }
    let cgroups = CgroupV2::new(root.path().join("cgroup"), Path::new("/run/mote"));
    let launcher = Launcher::new(
        PathBuf::from("mote-vmm"),
        microvms.clone(),
        Arc::new(cgroups),
        Cells::none(),
    );
    // Once more, too: nothing is there.
    for _ in 0..2 {
        assert!(launcher.find("1.1").await.unwrap().is_none());
        assert!(!cgroup.exists() && !microvms.join("1.1").exists());
    }
}
