# Everything a developer types. Each target does what it needs first and nothing twice.

export MOTE_CACHE ?= $(HOME)/.cache/mote

.PHONY: help setup run test build kernel e2e bench deny tidy install clean

help:  ## Show the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /	/' | expand -t 12

setup:  ## Install the Debian packages that the build needs
	@scripts/setup.sh run kernel images machine

run: setup  ## Build everything and run a container of a busybox image
	@cargo xtask demo

test:  ## Run every test and every check
	@scripts/setup.sh run kernel images machine test
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
	@cargo xtask test

build: setup  ## Build the kernel, the initramfs and the binaries into target/mote
	@cargo xtask build

kernel:  ## Build the guest kernel
	@scripts/setup.sh kernel
	@guest-kernel/build.sh

e2e: setup  ## Run the end-to-end tests whose names hold NAME
	@scripts/setup.sh run kernel images machine test
	@cargo xtask e2e $(NAME)

bench: setup  ## Run the benchmark NAME beside its peers
	@scripts/setup.sh run kernel images machine bench
	@cargo xtask bench $(NAME)

deny:  ## Check the dependencies' advisories, licences and sources, or those of these CHECKS
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	@cargo deny check $(CHECKS)
	@cargo deny --manifest-path fuzz/Cargo.toml check $(CHECKS)

tidy:  ## Check the rules of the house
	@cargo xtask tidy

install: build  ## Install into PREFIX, /usr/local by default
	install -d $(DESTDIR)$(or $(PREFIX),/usr/local)/bin $(DESTDIR)$(or $(PREFIX),/usr/local)/share/mote
	install -m 755 $(addprefix target/mote/bin/,mote mote-agent mote-vmm mote-machine-init mote-machine-supervisor) $(DESTDIR)$(or $(PREFIX),/usr/local)/bin
	install -m 644 target/mote/share/mote/vmlinux target/mote/share/mote/initramfs.cpio $(DESTDIR)$(or $(PREFIX),/usr/local)/share/mote

clean:  ## Remove what was built in the checkout; the cache stays
	cargo clean
