//! Goals of the load balancer before the API servers.

mod backends_up;
pub(in crate::goal) mod load_balancer;

use quorate_proto::goal::BalancerGoal;

use self::backends_up::BackendsUp;
use super::ensure_each;

ensure_each!(BalancerGoal {
    Self::LoadBalancer(goal) => goal,
    Self::BackendsUp(goal) => BackendsUp(goal),
});
