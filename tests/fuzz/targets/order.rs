//! Messages to an agent: an order that reads is sent on as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use quorate_proto::Goal;
use quorate_proto::wire::{Order, node};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = node::EnsureRequest::decode(bytes)
        && let Ok(order) = Order::try_from(request)
    {
        let again = Order::try_from(node::EnsureRequest::from(&order)).unwrap();
        assert_eq!(again.goal, order.goal);
    }
    if let Ok(request) = node::CheckRequest::decode(bytes) {
        Vec::<Goal>::try_from(request).ok();
    }
    // Goals travel as JSON: reach their reader without the wire round it.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let goals_json = vec![text.to_owned()];
        Vec::<Goal>::try_from(node::CheckRequest { goals_json }).ok();
    }
});
