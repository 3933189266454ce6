//! Chance by seed: the same seed, the same events.

/// `SplitMix64`, small and good enough to spread choices.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Chance from this seed on.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678))
    }

    /// Chance from this event of this seed on.
    pub fn after(seed: u64, event: usize) -> Self {
        let event = u64::try_from(event).unwrap_or(u64::MAX);
        let mut random =
            Self::new(seed ^ event.wrapping_add(1).wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    /// Any number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; `None` if there is none.
    pub fn pick<T>(&mut self, mut from: Vec<T>) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let at = self.below(from.len());
        Some(from.swap_remove(at))
    }

    /// One of these; there is always one.
    ///
    /// # Panics
    /// If there is none.
    pub fn one_of<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from.get(self.below(N)).copied().expect("something to choose from")
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
