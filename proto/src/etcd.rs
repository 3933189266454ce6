//! The generated client of the part of etcd's API that quorate reads; the agent's host wraps it.

#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    unused_qualifications,
    reason = "generated"
)]
tonic::include_proto!("etcdserverpb");
