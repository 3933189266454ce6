//! Goals that make a machine fit for Kubernetes.

mod apt;
mod hosts;
mod kernel_modules;
mod package_manager;
mod package_source;
mod packages;
pub(in crate::goal) mod service_running;
mod swap_off;
mod sysctls;

use quorate_proto::goal::HostGoal;

use super::ensure_each;

ensure_each!(HostGoal {
    Self::Hosts(goal) => goal,
    Self::SwapOff => swap_off::SwapOff,
    Self::KernelModules(goal) => goal,
    Self::Sysctls(goal) => goal,
    Self::PackageSource(goal) => goal,
    Self::Packages(goal) => goal,
    Self::ServiceRunning(goal) => goal,
});
