//! An error and its causes, for the one place where a program prints them.

use std::error::Error;

/// From the attempt to its innermost cause. Libraries repeat their source in their own text now and
/// then: such a source is left out.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |&error| error.source()) {
        let cause = cause.to_string();
        if causes.last().is_none_or(|last| !last.ends_with(&cause)) {
            causes.push(cause);
        }
    }
    causes
}

/// The same in one line.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    causes(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Reading {
        #[error("reading cluster.yaml")]
        Plainly(#[source] std::io::Error),
        #[error("reading cluster.yaml: {0}")]
        Twice(#[source] std::io::Error),
    }

    #[test]
    fn each_cause_is_told_once() {
        let gone = || std::io::Error::other("no such file");
        for error in [Reading::Plainly(gone()), Reading::Twice(gone())] {
            assert_eq!(in_one_line(&error), "reading cluster.yaml: no such file");
        }
    }
}
