//! What stands around a host agent in place of the host: cgroups and images.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agent::images::{Archive, ImageConfig, Images, ImagesPruned, ImagesUsage, Progress, Prunable, RunnableImage};
use agent::launch::{Cgroup, CgroupError, Cgroups, OccupiedCgroup};
use agent::sizing::CpuLimit;
use api::error::{ApiError, ErrorCode};
use api::image::{Image, ImageEvent, PullRequest};
use futures_util::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// Cgroups that only remember what was asked of them.
#[derive(Default)]
pub struct FakeCgroups {
    directory: PathBuf,
    pub limits: Arc<Mutex<Vec<CpuLimit>>>,
    pub are_missing: AtomicBool,
    pub refuse_limits: AtomicBool,
    pub processes: Arc<Mutex<Vec<u32>>>,
    /// The bounds on memory, each with its cgroup.
    pub memory: Arc<Mutex<Vec<(String, u64)>>>,
    pub living: Arc<AtomicUsize>,
}

struct FakeCgroup {
    is_there: bool,
    path: PathBuf,
    limits: Option<Arc<Mutex<Vec<CpuLimit>>>>,
    memory: Arc<Mutex<Vec<(String, u64)>>>,
    processes: Arc<Mutex<Vec<u32>>>,
    living: Arc<AtomicUsize>,
}

impl FakeCgroups {
    /// Cgroups below `directory`, where there is none.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            ..Self::default()
        }
    }
}

impl Cgroups for FakeCgroups {
    fn check(&self) -> Result<(), CgroupError> {
        if self.are_missing.load(Ordering::SeqCst) {
            return Err(CgroupError::NotMounted {
                root: PathBuf::from("/nowhere"),
            });
        }
        Ok(())
    }

    fn create(&self, id: &str, memory_bytes_max: u64) -> Result<Box<dyn Cgroup>, CgroupError> {
        self.living.fetch_add(1, Ordering::SeqCst);
        self.memory.lock().unwrap().push((id.to_owned(), memory_bytes_max));
        let limits = (!self.refuse_limits.load(Ordering::SeqCst)).then(|| self.limits.clone());
        Ok(Box::new(FakeCgroup {
            is_there: true,
            path: self.directory.join(id),
            limits,
            memory: self.memory.clone(),
            processes: self.processes.clone(),
            living: self.living.clone(),
        }))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    fn find(&self, _: &str) -> Result<Option<OccupiedCgroup>, CgroupError> {
        Ok(None)
    }

    fn remove_leftovers(&self, _: &HashSet<String>) -> Result<usize, CgroupError> {
        Ok(0)
    }
}

impl Cgroup for FakeCgroup {
    fn path(&self) -> &Path {
        &self.path
    }

    fn limit_memory(&self, bytes_max: u64) -> Result<(), CgroupError> {
        let id = self.path.file_name().unwrap().display().to_string();
        self.memory.lock().unwrap().push((id, bytes_max));
        Ok(())
    }

    fn directory(&self) -> Option<OwnedFd> {
        None
    }

    fn enter(&self, process: u32) -> Result<(), CgroupError> {
        self.processes.lock().unwrap().push(process);
        Ok(())
    }

    fn limit_cpu(&self, limit: CpuLimit) -> Result<(), CgroupError> {
        match &self.limits {
            Some(limits) => {
                limits.lock().unwrap().push(limit);
                Ok(())
            }
            None => Err(CgroupError::NotMounted {
                root: PathBuf::from("/nowhere"),
            }),
        }
    }

    fn leave(&mut self) {
        self.is_there = false;
    }

    fn remove(&mut self) -> Result<(), CgroupError> {
        if std::mem::take(&mut self.is_there) {
            self.living.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Drop for FakeCgroup {
    fn drop(&mut self) {
        self.remove().unwrap();
    }
}

/// One image, `app`; `slow` is never pulled to its end.
#[derive(Default)]
pub struct FakeImages {
    part: PathBuf,
    /// Pulls that are under way.
    pub pulls: watch::Sender<usize>,
}

impl FakeImages {
    /// An image whose only part is this file.
    pub fn new(part: PathBuf) -> Self {
        Self {
            part,
            ..Self::default()
        }
    }
}

struct Pull<'a>(&'a watch::Sender<usize>);

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|pulls| *pulls -= 1);
    }
}

fn image(name: &str, size_bytes: u64) -> Image {
    let digest = format!("sha256:{}", "0".repeat(64));
    Image {
        names: vec![name.to_owned()],
        digest,
        platform: "linux/amd64".into(),
        created: None,
        size_bytes,
        layers: 1,
        stored_unix_ms: 0,
        layer_list: vec![],
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError {
        code: ErrorCode::ImageNotFound,
        message: format!("no image {name:?} in the store"),
    }
}

impl Images for FakeImages {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async { Ok(vec![image("app", 1)]) })
    }

    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>> {
        Box::pin(async move {
            if reference != "app" {
                return Err(not_found(reference));
            }
            Ok(RunnableImage {
                name: "docker.io/library/app:latest".into(),
                digest: image("app", 1).digest,
                config: ImageConfig {
                    stop_signal: "SIGQUIT".into(),
                    ..ImageConfig::default()
                },
                parts: vec![self.part.clone()],
                rootfs_bytes: 0,
                hold: Arc::new(()),
            })
        })
    }

    fn pull(&self, request: PullRequest, progress: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async move {
            self.pulls.send_modify(|pulls| *pulls += 1);
            let _pull = Pull(&self.pulls);
            let resolved = ImageEvent::Resolved {
                digest: image("app", 1).digest,
                layers: vec![],
            };
            progress.send(resolved).await.unwrap();
            match request.reference.as_str() {
                "slow" => std::future::pending().await,
                "app" => Ok(vec![image("app", 1)]),
                other => Err(not_found(other)),
            }
        })
    }

    fn load(
        &self,
        mut archive: Archive,
        name: Option<String>,
        _: Progress,
    ) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async move {
            let mut buffer = vec![0; 64 << 10];
            let mut size_bytes = 0;
            loop {
                match archive.read(&mut buffer).await.unwrap() {
                    _ if name.as_deref() == Some("refused") => return Err(not_found("refused")),
                    _ if name.as_deref() == Some("short") => return Ok(vec![image("short", 1)]),
                    0 => return Ok(vec![image(name.as_deref().unwrap_or("unnamed"), size_bytes)]),
                    len => size_bytes += len as u64,
                }
            }
        })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            if reference == "app/with/slashes:1" {
                Ok(())
            } else {
                Err(not_found(reference))
            }
        })
    }

    fn prune(&self, _: Prunable) -> BoxFuture<'_, Result<ImagesPruned, ApiError>> {
        Box::pin(async { Ok(ImagesPruned::default()) })
    }

    fn usage(&self, _: HashSet<String>) -> BoxFuture<'_, Result<ImagesUsage, ApiError>> {
        Box::pin(async { Ok(ImagesUsage::default()) })
    }
}
