//! Ranges: `worker-[1-50]` stands for fifty names, `10.0.1.[1-50]` for fifty addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// More than kubeadm and etcd are tried with in one cluster.
const MOST: u64 = 1000;

/// Why a range cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RangeError {
    #[error("{0:?} has no range that can be read")]
    Brackets(String),
    #[error("the range in {0:?} runs backwards")]
    Backwards(String),
    #[error("the range in {text:?} stands for {count} nodes, and {MOST} are the most")]
    Long { text: String, count: u64 },
    #[error("{0:?} is not an IP address")]
    Address(String),
    #[error("there are {names} names for {addresses} addresses")]
    Lengths { names: usize, addresses: usize },
    #[error("{count} addresses from {first} on are more than there are")]
    Overflow { first: IpAddr, count: usize },
}

/// What a text with or without a range stands for, in its order.
pub(super) fn names(text: &str) -> Result<Vec<String>, RangeError> {
    let Some((before, rest)) = text.split_once('[') else {
        return if text.contains(']') { Err(brackets(text)) } else { Ok(vec![text.to_owned()]) };
    };
    let (bounds, after) = rest.split_once(']').ok_or_else(|| brackets(text))?;
    let (from, to) = bounds.split_once('-').ok_or_else(|| brackets(text))?;
    if after.contains(['[', ']']) {
        return Err(brackets(text));
    }
    let (first, last) = (bound(from, text)?, bound(to, text)?);
    if last < first {
        return Err(RangeError::Backwards(text.to_owned()));
    }
    let count = last - first + 1;
    if count > MOST {
        return Err(RangeError::Long { text: text.to_owned(), count });
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    Ok((first..=last).map(|number| format!("{before}{number:0width$}{after}")).collect())
}

/// One address for each of `count` names: a range as long, or the first, from which it counts up.
pub(super) fn addresses(text: &str, count: usize) -> Result<Vec<IpAddr>, RangeError> {
    let parse = |text: &String| text.parse().ok().ok_or_else(|| RangeError::Address(text.clone()));
    let written: Vec<IpAddr> = names(text)?.iter().map(parse).collect::<Result<_, _>>()?;
    match &written[..] {
        [first] if !text.contains('[') => (0..count)
            .map(|step| later(*first, step).ok_or(RangeError::Overflow { first: *first, count }))
            .collect(),
        _ if written.len() == count => Ok(written),
        _ => Err(RangeError::Lengths { names: count, addresses: written.len() }),
    }
}

fn later(first: IpAddr, step: usize) -> Option<IpAddr> {
    Some(match first {
        IpAddr::V4(ip) => {
            Ipv4Addr::from(u32::from(ip).checked_add(u32::try_from(step).ok()?)?).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from(u128::from(ip).checked_add(u128::try_from(step).ok()?)?).into()
        }
    })
}

fn brackets(text: &str) -> RangeError {
    RangeError::Brackets(text.to_owned())
}

/// Nine digits are enough for every bound, and cannot overflow.
fn bound(digits: &str, text: &str) -> Result<u64, RangeError> {
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number = if plain { digits.parse().ok() } else { None };
    number.ok_or_else(|| brackets(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_keeps_its_zeros_and_what_is_around_it() {
        assert_eq!(names("w-[8-10].x").unwrap(), ["w-8.x", "w-9.x", "w-10.x"]);
        assert_eq!(names("w[08-10]").unwrap(), ["w08", "w09", "w10"]);
        assert_eq!(names("w[0-1]").unwrap(), ["w0", "w1"]);
        assert_eq!(names("cp-1").unwrap(), ["cp-1"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["w-[1-2", "w-]1-2[", "w-[12]", "w-[1-]", "w-[a-b]", "w-[1-2]-[1-2]", "w-[1--2]"]
        {
            assert_eq!(names(bad), Err(brackets(bad)));
        }
        assert!(matches!(names("w-[3-1]"), Err(RangeError::Backwards(_))));
        assert!(matches!(names("w-[1-1001]"), Err(RangeError::Long { count: 1001, .. })));
        assert!(matches!(names("w-[1-999999999]"), Err(RangeError::Long { .. })));
        assert!(matches!(names("w-[1-9999999999]"), Err(RangeError::Brackets(_))));
    }

    #[test]
    fn addresses_are_a_range_or_count_up() {
        let two = ["10.0.0.255", "10.0.1.0"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(addresses("10.0.0.255", 2).unwrap(), two);
        assert_eq!(addresses("10.0.[1-2].7", 2).unwrap().len(), 2);
        let lengths = RangeError::Lengths { names: 3, addresses: 2 };
        assert_eq!(addresses("10.0.0.[1-2]", 3), Err(lengths));
        assert!(matches!(addresses("255.255.255.255", 2), Err(RangeError::Overflow { .. })));
        assert!(matches!(addresses("10.0.0.[255-256]", 2), Err(RangeError::Address(_))));
        assert!(matches!(addresses("node.example", 1), Err(RangeError::Address(_))));
    }

    proptest! {
        #[test]
        fn a_range_has_each_number_once_in_order(first in 0_u64..5000, length in 1_u64..200) {
            let last = first + length - 1;
            let all = names(&format!("n[{first}-{last}]")).unwrap();
            let numbers: Vec<u64> = all.iter().map(|name| name.trim_start_matches('n').parse().unwrap()).collect();
            prop_assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_a_range_panic(text in "[\\[\\]0-9a-z.:-]{0,20}") {
            let _ = names(&text).is_ok() || addresses(&text, 3).is_ok();
        }
    }
}
