//! Buckets whose width grows with the value: an [H2 histogram].
//!
//! Values below `2^(p+1)` have a bucket each; from there on every power of two is divided into
//! `2^p` buckets of equal width. So a bucket is never wider than `2^-p` of the values in it. The
//! buckets of the smallest values are merged into the first one, and the last one is open.
//!
//! [H2 histogram]: https://iop.systems/blog/h2-histogram/

use crate::runtime::metrics::batch::duration_as_u64;

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

const DEFAULT_MIN_VALUE: Duration = Duration::from_nanos(100);
const DEFAULT_MAX_VALUE: Duration = Duration::from_secs(60);
/// An error of 25 % at most.
const DEFAULT_PRECISION: u32 = 2;
const MAX_PRECISION: u32 = 10;

/// The buckets of a histogram with logarithmic scale.
///
/// Each bucket is at most a set fraction of its values wide, so that small and large durations
/// are told apart equally well. The first bucket begins at 0 and the last one has no end.
///
/// Made by a [`LogHistogramBuilder`], which also says what the default is.
///
/// ```
/// # #[cfg(any(tokio_unstable, feature = "metrics"))] {
/// use std::time::Duration;
/// use tokio::runtime::LogHistogram;
///
/// let histogram = LogHistogram::builder()
///     .min_value(Duration::from_micros(20))
///     .max_value(Duration::from_millis(4))
///     .precision_exact(0)
///     .build();
/// assert!(histogram.max_value() >= 4_000_000);
/// # }
/// ```
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct LogHistogram {
    pub(super) num_buckets: usize,
    /// A bucket is at most `2^-p` of its values wide.
    pub(super) p: u32,
    /// So many buckets, and the one after them, make up the first bucket.
    pub(super) bucket_offset: usize,
}

impl Default for LogHistogram {
    fn default() -> Self {
        LogHistogramBuilder::default().build()
    }
}

impl LogHistogram {
    /// Starts with the default settings.
    pub fn builder() -> LogHistogramBuilder {
        LogHistogramBuilder::default()
    }

    /// Where the last bucket begins, in nanoseconds: above it, values are not told apart.
    pub fn max_value(&self) -> u64 {
        start(self.bucket_offset + self.num_buckets - 1, self.p)
    }

    pub(super) fn value_to_bucket(&self, value: u64) -> usize {
        index(value, self.p).saturating_sub(self.bucket_offset).min(self.num_buckets.saturating_sub(1))
    }

    pub(super) fn bucket_range(&self, bucket: usize) -> Range<u64> {
        let at = |bucket| start(self.bucket_offset + bucket, self.p);
        let is_last = bucket + 1 == self.num_buckets;
        Range {
            start: if bucket == 0 { 0 } else { at(bucket) },
            end: if is_last { u64::MAX } else { at(bucket + 1) },
        }
    }
}

/// The bucket of a value, without any bounds.
fn index(value: u64, p: u32) -> usize {
    // How many of the low bits do not count.
    let width = value.checked_ilog2().unwrap_or(0).saturating_sub(p);
    ((width as usize) << p) + (value >> width) as usize
}

/// The smallest value in a bucket; the largest number there is, if it lies beyond that.
fn start(bucket: usize, p: u32) -> u64 {
    let width = (bucket >> p).saturating_sub(1);
    let leading = (bucket - (width << p)) as u64;
    if width > leading.leading_zeros() as usize { u64::MAX } else { leading << width }
}

/// Chooses the buckets of a [`LogHistogram`].
///
/// | setting | default |
/// |---|---|
/// | [`min_value`](Self::min_value) | 100 ns |
/// | [`max_value`](Self::max_value) | 60 s |
/// | [`max_error`](Self::max_error) | 25 % |
///
/// How many buckets that takes follows from the settings (119 of 8 bytes each for the default).
/// [`max_buckets`](Self::max_buckets) sets a limit.
#[derive(Default, Debug, Copy, Clone)]
pub struct LogHistogramBuilder {
    max_value: Option<Duration>,
    min_value: Option<Duration>,
    precision: Option<u32>,
}

impl From<LogHistogramBuilder> for LogHistogram {
    fn from(builder: LogHistogramBuilder) -> Self {
        builder.build()
    }
}

impl LogHistogramBuilder {
    /// Sets how wide a bucket may be, as a fraction of the values in it.
    ///
    /// The next smaller power of two from `2^-2` to `2^-10` is taken; what is asked for beyond
    /// these limits is not met. [`precision_exact`](Self::precision_exact) sets the power itself.
    ///
    /// # Panics
    ///
    /// Panics unless `max_error` lies between 0 and 1, both excluded.
    #[track_caller]
    pub fn max_error(mut self, max_error: f64) -> Self {
        assert!(max_error > 0.0, "max_error must be greater than 0");
        assert!(max_error < 1.0, "max_error must be less than 1");
        let fits = |&p: &u32| 0.5_f64.powi(p as i32) <= max_error;
        self.precision = Some((DEFAULT_PRECISION..MAX_PRECISION).find(fits).unwrap_or(MAX_PRECISION));
        self
    }

    /// Sets that a bucket is `2^-p` of its values wide at most.
    ///
    /// With 0 each bucket is as wide as all before it together, as with
    /// [`HistogramScale::Log`](crate::runtime::HistogramScale::Log).
    ///
    /// # Panics
    ///
    /// Panics if `p` is greater than 10.
    #[track_caller]
    pub fn precision_exact(mut self, p: u32) -> Self {
        assert!(p <= MAX_PRECISION, "precision must be <= {MAX_PRECISION}");
        self.precision = Some(p);
        self
    }

    /// Sets what is to be told apart from 0: the first bucket ends at `duration` or below it.
    pub fn min_value(mut self, duration: Duration) -> Self {
        self.min_value = Some(duration);
        self
    }

    /// Sets up to where values are told apart: the last bucket begins at `duration` or above it.
    ///
    /// # Panics
    ///
    /// Panics if `duration` is zero.
    #[track_caller]
    pub fn max_value(mut self, duration: Duration) -> Self {
        assert!(!duration.is_zero(), "max value must be greater than 0");
        self.max_value = Some(duration);
        self
    }

    /// Builds the histogram, if `max_buckets` are enough for it.
    ///
    /// # Errors
    ///
    /// Fails if it takes more, and says how many.
    pub fn max_buckets(&mut self, max_buckets: usize) -> Result<LogHistogram, InvalidHistogramConfiguration> {
        let histogram = self.build();
        if histogram.num_buckets > max_buckets {
            let required_bucket_count = histogram.num_buckets;
            return Err(InvalidHistogramConfiguration::TooManyBuckets { required_bucket_count });
        }
        Ok(histogram)
    }

    /// Builds the histogram.
    pub fn build(&self) -> LogHistogram {
        let p = self.precision.unwrap_or(DEFAULT_PRECISION);
        let min = duration_as_u64(self.min_value.unwrap_or(DEFAULT_MIN_VALUE));
        let max = duration_as_u64(self.max_value.unwrap_or(DEFAULT_MAX_VALUE));
        // The first bucket ends where the one of the smallest value begins.
        let bucket_offset = index(min, p).saturating_sub(1);
        // The last one begins after the one of the largest value below `max`.
        let last = index(max - 1, p) + 1;
        let num_buckets = last.saturating_sub(bucket_offset).max(1) + 1;
        LogHistogram { num_buckets, p, bucket_offset }
    }
}

/// Why a histogram cannot be had.
#[derive(Debug)]
pub enum InvalidHistogramConfiguration {
    /// It takes more buckets than allowed.
    TooManyBuckets {
        /// How many it takes.
        required_bucket_count: usize,
    },
}

impl fmt::Display for InvalidHistogramConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidHistogramConfiguration::TooManyBuckets { required_bucket_count } => write!(
                f,
                "The configuration for this histogram would have required {required_bucket_count} buckets"
            ),
        }
    }
}

impl Error for InvalidHistogramConfiguration {}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn buckets(histogram: LogHistogram) -> Vec<Range<u64>> {
        (0..histogram.num_buckets).map(|bucket| histogram.bucket_range(bucket)).collect()
    }

    #[test]
    fn the_default_spans_from_100_ns_to_a_minute() {
        let histogram = LogHistogram::default();
        assert_eq!(histogram.num_buckets, 119);
        assert_eq!(histogram.bucket_range(0), 0..96);
        assert_eq!(histogram.bucket_range(1), 96..112);
        assert_eq!(histogram.bucket_range(118).end, u64::MAX);
        assert_eq!(histogram.max_value(), 7 << 33);
    }

    #[test]
    fn without_precision_each_bucket_doubles() {
        let histogram = LogHistogram::builder()
            .min_value(Duration::from_nanos(8))
            .max_value(Duration::from_nanos(60))
            .precision_exact(0)
            .build();
        assert_eq!(buckets(histogram), [0..8, 8..16, 16..32, 32..64, 64..u64::MAX]);
    }

    #[test]
    fn small_values_have_a_bucket_each() {
        let histogram = LogHistogram::builder()
            .min_value(Duration::ZERO)
            .max_value(Duration::from_nanos(10))
            .precision_exact(2)
            .build();
        assert_eq!(buckets(histogram)[..8], [0..1, 1..2, 2..3, 3..4, 4..5, 5..6, 6..7, 7..8]);
        assert_eq!(buckets(histogram)[8..], [8..10, 10..u64::MAX]);
    }

    #[test]
    fn what_cannot_be_told_apart_has_two_buckets() {
        let histogram = LogHistogram::builder()
            .min_value(Duration::from_secs(1))
            .max_value(Duration::from_nanos(1))
            .build();
        assert_eq!(histogram.num_buckets, 2);
        assert_eq!(histogram.value_to_bucket(0), 0);
        assert_eq!(histogram.value_to_bucket(u64::MAX), 1);
        let all = LogHistogram::builder().max_value(Duration::MAX).build();
        assert_eq!(all.bucket_range(all.num_buckets - 1), u64::MAX..u64::MAX);
    }

    #[test]
    fn a_limit_is_kept() {
        let error = LogHistogram::builder().max_buckets(118).unwrap_err();
        assert!(error.to_string().ends_with("have required 119 buckets"), "{error}");
        assert!(LogHistogram::builder().max_buckets(119).is_ok());
    }

    #[test]
    fn the_error_is_rounded_down() {
        let precision = |error| LogHistogram::builder().max_error(error).precision;
        assert_eq!(precision(0.9), Some(2));
        assert_eq!(precision(0.25), Some(2));
        assert_eq!(precision(0.2), Some(3));
        assert_eq!(precision(1e-9), Some(10));
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(
            value: u64, shift in 0..64_u32, p in 0..=10_u32, min in 0..1_000_000_u64, max in 1..u64::MAX,
        ) {
            let value = value >> shift;
            let histogram = LogHistogram::builder()
                .min_value(Duration::from_nanos(min))
                .max_value(Duration::from_nanos(max))
                .precision_exact(p)
                .build();
            let bucket = histogram.value_to_bucket(value);
            let range = histogram.bucket_range(bucket);
            prop_assert!(range.start <= value && (value < range.end || value == u64::MAX));
            // The first and the last one apart, its width is a small part of the value.
            if bucket != 0 && bucket + 1 != histogram.num_buckets {
                prop_assert!(u128::from(range.end - range.start) << p <= u128::from(range.start.max(1 << p)));
            }
            if max > min {
                prop_assert!(histogram.bucket_range(0).end <= min.max(1));
                prop_assert!(histogram.max_value() >= max);
            }
        }
    }
}
