//! From plans to guests that are restored, paused and ready to go, each in its slot of the segment.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use machine::segment::{Segment, SegmentError, Slot};
use workloads::launch::{SUITE_WORD, encode_argv};

use super::plan::GuestPlan;
use super::plugin::PluginMissing;
use crate::image::Image;
use crate::input::InputError;
use crate::interrupt::Interrupt;
use crate::qemu::snapshot::Snapshots;
use crate::qemu::{Accelerator, Description, Plugin, Program, Qemu, QemuError, RunFolder, Start};

/// Why guests could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// What was asked for is not possible on this host.
    #[error("failed to launch the guests")]
    Input(#[from] InputError),
    /// QEMU or a guest in it failed.
    #[error("failed to launch the guests")]
    Qemu(#[from] QemuError),
    /// The plugin was not built.
    #[error("failed to launch the guests")]
    Plugin(#[from] PluginMissing),
    /// The shared segment could not be made.
    #[error("failed to launch the guests")]
    Segment(#[from] SegmentError),
}

/// The kernel's own words on its command line: a console, a death that ends QEMU, no copies of page tables (each system
/// call would empty the L1), and nothing that is calibrated against a clock or differs from boot to boot.
const KERNEL_WORDS: &str = "console=ttyS0 panic=-1 mitigations=off nokaslr no_timer_check tsc_early_khz=1000000 \
                            lpj=4000000";

/// The machine that a guest boots on this host.
#[must_use]
pub fn description(plan: &GuestPlan, image: &Image) -> Description {
    Description {
        name: plan.name.clone(),
        accelerator: Accelerator::Tcg,
        memory_mib: plan.memory_mib,
        kernel: image.kernel.clone(),
        initramfs: Some(image.initramfs.clone()),
        rootfs: Some(image.rootfs.clone()),
        suite: plan.launch.disk.clone(),
        command_line: command_line(plan),
    }
}

fn command_line(plan: &GuestPlan) -> String {
    let suite = plan.launch.disk.as_ref().map_or(String::new(), |_| format!("{SUITE_WORD} "));
    format!("{KERNEL_WORDS} {suite}{}", encode_argv(&plan.launch.argv))
}

/// Everything that all guests of a launch share.
pub(super) struct Restorer<'a> {
    pub(super) program: &'a Program,
    pub(super) plugin: &'a Path,
    pub(super) snapshots: &'a Snapshots,
    pub(super) image: &'a Image,
    pub(super) segment: &'a Segment,
    pub(super) run: &'a RunFolder,
    /// Where the stream of the only guest goes, if it is recorded.
    pub(super) stream: Option<&'a File>,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a (dyn Fn(&str) + Sync),
}

impl Restorer<'_> {
    /// Restores all guests, as many at a time as this machine has CPUs. They are paused, in the order of their plans,
    /// which is that of their slots.
    pub(super) fn restore_all(&self, plans: &[GuestPlan]) -> Result<Vec<Qemu>, LaunchError> {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(plans.len());
        let next = AtomicUsize::new(0);
        let restored: Mutex<Vec<(usize, Result<Qemu, QemuError>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(plan) = plans.get(index) else { break };
                        let outcome = self.restore(plan, Slot(u32::try_from(index).expect("fewer guests than CPUs")));
                        if outcome.is_err() {
                            // The others need not begin.
                            next.store(plans.len(), Ordering::Relaxed);
                        }
                        restored.lock().expect("no worker panics").push((index, outcome));
                    }
                });
            }
        });
        let mut restored = restored.into_inner().expect("no worker panics");
        restored.sort_by_key(|(index, _)| *index);
        Ok(restored.into_iter().map(|(_, outcome)| outcome).collect::<Result<Vec<_>, _>>()?)
    }

    fn restore(&self, plan: &GuestPlan, slot: Slot) -> Result<Qemu, QemuError> {
        let description = description(plan, self.image);
        (self.progress)(&format!("prepare guest \"{}\"", plan.name));
        let digest = &self.image.digest;
        let state = self.snapshots.ensure(self.program, &description, digest, self.run, self.interrupt)?;
        let plugin = Plugin {
            file: self.plugin,
            segment: self.segment.fd(),
            slot: slot.0,
            stream: self.stream.map(AsFd::as_fd),
        };
        let start = Start { plugin: Some(plugin), uncounted: None, state: Some(state) };
        let mut guest = Qemu::start(self.program, &description, start, self.run)?;
        guest.wait_restored(self.interrupt)?;
        Ok(guest)
    }
}

#[cfg(test)]
mod tests {
    use machine::spec::Cpu;
    use workloads::catalogue::{Catalogue, Launch};
    use workloads::launch::{COMMAND_LINE_LIMIT, decode_argv};

    use super::*;

    fn plan(launch: Launch) -> GuestPlan {
        GuestPlan { name: "alpha".to_owned(), launch, memory_mib: 256, vcpus: 1, cpu: Cpu(0) }
    }

    #[test]
    fn every_program_of_the_catalogue_fits_on_the_kernels_command_line() {
        for program in Catalogue::builtin().programs() {
            for input in program.inputs() {
                let launch = program.launch(Some(&input.name)).expect("it is in the catalogue");
                let line = command_line(&plan(launch.clone()));
                assert!(line.len() <= COMMAND_LINE_LIMIT, "{}: {} bytes", program.name, line.len());
                assert_eq!(decode_argv(&line), Ok(launch.argv));
            }
        }
    }
}
