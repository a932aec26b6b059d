//! A sample of measured values and what is said of it.

/// What is said of a sample: names, and the percentiles behind them.
pub const PERCENTILES: [(&str, usize); 3] = [("min", 0), ("median", MEDIAN), ("p99", 99)];

/// The percentile that targets are for.
pub const MEDIAN: usize = 50;

/// Values in nanoseconds, sorted.
#[derive(Clone, Debug)]
pub struct Sample {
    sorted: Vec<u64>,
}

impl Sample {
    /// The sample of `values`; none where there is no value.
    pub fn new(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        (!values.is_empty()).then_some(Self { sorted: values })
    }

    /// The value below or at which `percent` of all lie (nearest rank): 0 is the smallest, 50 the median.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted[rank.min(self.sorted.len()) - 1]
    }

    /// The median.
    pub fn median(&self) -> u64 {
        self.percentile(MEDIAN)
    }

    /// The largest.
    pub fn largest(&self) -> u64 {
        self.percentile(100)
    }

    /// All values, the smallest first.
    pub fn values(&self) -> &[u64] {
        &self.sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample = Sample::new(vec![5, 1, 4, 2, 3]).unwrap();
        assert_eq!([0, 50, 99].map(|percent| sample.percentile(percent)), [1, 3, 5]);
        assert_eq!(sample.largest(), 5);
        assert!(Sample::new(Vec::new()).is_none());
    }
}
