//! The specification: cluster.yaml and what it means.

mod cluster;

pub use cluster::{
    ClusterSpec, ContainerdSettings, Kubeadm, Network, NodeSpec, PackageSettings, Plugin, Role,
};
