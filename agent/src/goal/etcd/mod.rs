//! Goals of etcd and its membership.

mod etcd_healthy;
mod etcd_member;
mod etcd_member_removed;

use quorate_proto::goal::EtcdGoal;

use self::etcd_healthy::EtcdHealthy;
use self::etcd_member::EtcdMember;
use super::ensure_each;

ensure_each!(EtcdGoal {
    Self::EtcdMember(node) => EtcdMember(node),
    Self::EtcdHealthy(node) => EtcdHealthy(node),
    Self::EtcdMemberRemoved(goal) => goal,
});
