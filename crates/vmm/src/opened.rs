//! What a VMM opens by itself: all of it before it is confined, and nothing later.

use std::fs::File;
use std::os::fd::OwnedFd;

use devices::meter::Meter;
use kvm_ioctls::Kvm;
use protocol::attachments;
use protocol::vmm::{Boot, Config, Device, Origin, Shape};

use crate::backing;
use crate::jail;
use crate::microvm::{self, Booted};
use crate::template::Template;
use crate::template::save::Files;
use crate::touched::{self, Pages};
use crate::x86_64::boot::Image;

/// The files of one VMM.
pub struct Opened {
    /// KVM.
    pub kvm: Kvm,
    /// Where the guest comes from.
    pub source: Source,
    /// Where its devices count.
    pub meter: Meter,
    /// What comes with the shape that the configuration has, if it has one.
    pub attached: Vec<OwnedFd>,
    /// Where this process's descriptors can be named, if it is to serve directories.
    pub descriptors: Option<OwnedFd>,
}

/// Where a guest comes from.
pub enum Source {
    /// Its kernel is booted, and perhaps it is saved then.
    Boot(Booted, Option<Files>),
    /// It is a clone.
    Template(Cloned),
}

/// What a clone is made from.
pub struct Cloned {
    /// The template.
    pub template: Template,
    /// The pages that its clones touch.
    pub known: Pages,
    /// Where the system tells of this process's pages, if no clone has told of its own yet.
    pub list: Option<File>,
}

impl Opened {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// Where something cannot be had.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let source = match &config.origin {
            Origin::Boot(boot) => Source::boot(boot)?,
            Origin::Template(directory) => {
                let template = Template::open(directory)?;
                let known = touched::known(directory);
                // A system that does not tell teaches nothing.
                let list = known.written.is_empty().then(|| touched::list().ok()).flatten();
                Source::Template(Cloned { template, known, list })
            }
        };
        let shape = config.shape.as_ref();
        if shape.is_none() {
            // The one that started it may be spared when the host has no memory left; a microVM is not. Where that cannot be said, nothing is lost.
            let _ = std::fs::write("/proc/self/oom_score_adj", "0");
        }
        let has_directory = |shape: &Shape| {
            let mut devices = shape.slots.values();
            devices.any(|device| matches!(device, Device::Directory { .. }))
        };
        let serves_directories = config.jail.serves_directories || shape.is_some_and(has_directory);
        Ok(Self {
            kvm: microvm::open_kvm()?,
            source,
            meter: backing::meter(config.counters.as_deref())?,
            attached: shape.map(attachments::open).transpose()?.unwrap_or_default(),
            descriptors: serves_directories.then(jail::descriptors).transpose()?,
        })
    }
}

impl Source {
    fn boot(boot: &Boot) -> anyhow::Result<Self> {
        let booted = Booted {
            kernel: Image::open("kernel", &boot.kernel)?,
            initramfs: Image::open("initramfs", &boot.initramfs)?,
            command_line: boot.command_line.clone(),
            serial: boot.serial.as_deref().map(backing::open_serial).transpose()?,
        };
        let files = boot.save.as_deref().map(Files::create).transpose()?;
        Ok(Self::Boot(booted, files))
    }
}
