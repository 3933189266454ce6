//! Goals of the container runtime: its configuration, and the images that it holds.

mod containerd;
mod image_names;
mod images;

use quorate_proto::goal::RuntimeGoal;

use super::ensure_each;

ensure_each!(RuntimeGoal {
    Self::Containerd(goal) => goal,
    Self::Images(goal) => goal,
});
