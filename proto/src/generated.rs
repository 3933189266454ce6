//! Generated clients, servers and messages. What they mean is in `wire`, in `trust` and in the
//! agent's host.

#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    unused_qualifications,
    reason = "generated"
)]

/// Of node.proto.
pub mod node {
    tonic::include_proto!("quorate.node.v1");
}

/// Of enrol.proto.
pub mod enrol {
    tonic::include_proto!("quorate.enrol.v1");
}

/// Of trust.proto.
pub mod trust {
    tonic::include_proto!("quorate.trust.v1");
}

/// Of etcd.proto: the part of etcd's API that quorate reads.
pub mod etcd {
    tonic::include_proto!("etcdserverpb");
}
