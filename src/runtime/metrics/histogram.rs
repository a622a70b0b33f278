//! How often something took how long: counts by buckets of durations.
//!
//! A worker counts in a [`HistogramBatch`] of its own and stores the counts in the [`Histogram`]
//! that others read, along with its other counters.

mod log;
pub use log::{InvalidHistogramConfiguration, LogHistogram, LogHistogramBuilder};

use super::batch::duration_as_u64;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The published counts of one worker.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Box<[AtomicU64]>,
    kind: HistogramType,
}

/// A worker's own tally between two publications. Like the [batch](super::MetricsBatch) it is
/// part of, it holds totals.
#[derive(Debug)]
pub(crate) struct HistogramBatch {
    counts: Box<[u64]>,
    kind: HistogramType,
}

/// How the buckets of a histogram are scaled.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum HistogramScale {
    /// All buckets have the same width.
    Linear,
    /// Each bucket is as wide as all before it together.
    Log,
}

/// The buckets of a histogram that a runtime keeps.
///
/// ```
/// # #[cfg(any(tokio_unstable, feature = "metrics"))] {
/// use std::time::Duration;
/// use tokio::runtime::{Builder, HistogramConfiguration};
///
/// let rt = Builder::new_current_thread()
///     .enable_metrics_poll_time_histogram()
///     .metrics_poll_time_histogram_configuration(HistogramConfiguration::linear(
///         Duration::from_micros(10),
///         100,
///     ))
///     .build()
///     .unwrap();
/// assert_eq!(rt.metrics().poll_time_histogram_num_buckets(), 100);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HistogramConfiguration {
    pub(crate) inner: HistogramType,
}

impl HistogramConfiguration {
    /// `num_buckets` of the same width; the last one has no end.
    pub fn linear(bucket_width: Duration, num_buckets: usize) -> Self {
        let bucket_width = duration_as_u64(bucket_width);
        Self { inner: HistogramType::Linear(LinearHistogram { num_buckets, bucket_width }) }
    }

    /// Buckets that grow with the value: a [`LogHistogram`] or the builder of one.
    pub fn log(configuration: impl Into<LogHistogram>) -> Self {
        Self { inner: HistogramType::H2(configuration.into()) }
    }
}

/// What to count in which bucket.
#[derive(Debug, Clone, Copy, Eq, PartialEq)]
pub(crate) enum HistogramType {
    Linear(LinearHistogram),
    H2(LogHistogram),
}

#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub(crate) struct LinearHistogram {
    num_buckets: usize,
    bucket_width: u64,
}

impl HistogramType {
    fn num_buckets(&self) -> usize {
        match self {
            HistogramType::Linear(linear) => linear.num_buckets,
            HistogramType::H2(log) => log.num_buckets,
        }
    }

    fn value_to_bucket(&self, value: u64) -> usize {
        match self {
            HistogramType::Linear(linear) => {
                let bucket = value / linear.bucket_width.max(1);
                usize::try_from(bucket).unwrap_or(usize::MAX).min(linear.num_buckets.saturating_sub(1))
            }
            HistogramType::H2(log) => log.value_to_bucket(value),
        }
    }

    fn bucket_range(&self, bucket: usize) -> Range<u64> {
        match self {
            HistogramType::Linear(linear) => {
                let start = |bucket: usize| linear.bucket_width.saturating_mul(bucket as u64);
                let is_last = bucket + 1 == linear.num_buckets;
                start(bucket)..if is_last { u64::MAX } else { start(bucket + 1) }
            }
            HistogramType::H2(log) => log.bucket_range(bucket),
        }
    }
}

impl Histogram {
    pub(crate) fn num_buckets(&self) -> usize {
        self.counts.len()
    }

    /// How often a value of this bucket came up.
    #[track_caller]
    pub(crate) fn get(&self, bucket: usize) -> u64 {
        self.counts[bucket].load(Relaxed)
    }

    /// The nanoseconds a bucket stands for.
    pub(crate) fn bucket_range(&self, bucket: usize) -> Range<Duration> {
        let Range { start, end } = self.kind.bucket_range(bucket);
        Duration::from_nanos(start)..Duration::from_nanos(end)
    }
}

impl HistogramBatch {
    pub(crate) fn from_histogram(histogram: &Histogram) -> HistogramBatch {
        let counts = histogram.counts.iter().map(|count| count.load(Relaxed)).collect();
        HistogramBatch { counts, kind: histogram.kind }
    }

    /// Counts one more of `nanoseconds`.
    pub(crate) fn measure(&mut self, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(self.kind.value_to_bucket(nanoseconds)) {
            *count += 1;
        }
    }

    /// Publishes the counts.
    pub(crate) fn submit(&self, histogram: &Histogram) {
        for (count, published) in self.counts.iter().zip(&histogram.counts) {
            published.store(*count, Relaxed);
        }
    }
}

/// What the runtime's builder was told about a histogram.
#[derive(Debug, Clone)]
pub(crate) struct HistogramBuilder {
    pub(crate) histogram_type: HistogramType,
    /// Settings of the older methods; if there are any, they count.
    legacy: Option<LegacyBuilder>,
}

/// The settings that came before [`HistogramConfiguration`].
#[derive(Debug, Clone)]
pub(crate) struct LegacyBuilder {
    /// The width of the first bucket, in nanoseconds.
    pub(crate) resolution: u64,
    pub(crate) scale: HistogramScale,
    pub(crate) num_buckets: usize,
}

const DEFAULT_NUM_BUCKETS: usize = 10;
const DEFAULT_RESOLUTION: u64 = Duration::from_micros(100).as_nanos() as u64;

impl Default for HistogramBuilder {
    fn default() -> Self {
        let linear = LinearHistogram { num_buckets: DEFAULT_NUM_BUCKETS, bucket_width: DEFAULT_RESOLUTION };
        HistogramBuilder { histogram_type: HistogramType::Linear(linear), legacy: None }
    }
}

impl HistogramBuilder {
    pub(crate) fn legacy_mut(&mut self) -> &mut LegacyBuilder {
        self.legacy.get_or_insert(LegacyBuilder {
            resolution: DEFAULT_RESOLUTION,
            scale: HistogramScale::Linear,
            num_buckets: DEFAULT_NUM_BUCKETS,
        })
    }

    pub(crate) fn build(&self) -> Histogram {
        let kind = match &self.legacy {
            Some(legacy) => legacy.histogram_type(),
            None => self.histogram_type,
        };
        let counts = (0..kind.num_buckets()).map(|_| AtomicU64::new(0)).collect();
        Histogram { counts, kind }
    }
}

impl LegacyBuilder {
    fn histogram_type(&self) -> HistogramType {
        let num_buckets = self.num_buckets;
        match self.scale {
            HistogramScale::Linear => {
                HistogramType::Linear(LinearHistogram { num_buckets, bucket_width: self.resolution })
            }
            // The first bucket is the smallest power of two that is not below the resolution.
            HistogramScale::Log => HistogramType::H2(LogHistogram {
                num_buckets,
                p: 0,
                bucket_offset: self.resolution.next_power_of_two().ilog2() as usize,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(histogram: &Histogram) -> Vec<Range<u64>> {
        let nanos = |range: Range<Duration>| duration_as_u64(range.start)..duration_as_u64(range.end);
        (0..histogram.num_buckets()).map(|bucket| nanos(histogram.bucket_range(bucket))).collect()
    }

    fn counts(histogram: &Histogram) -> Vec<u64> {
        (0..histogram.num_buckets()).map(|bucket| histogram.get(bucket)).collect()
    }

    fn build(configuration: HistogramConfiguration) -> Histogram {
        HistogramBuilder { histogram_type: configuration.inner, legacy: None }.build()
    }

    #[test]
    fn linear_buckets_have_the_same_width() {
        let histogram = build(HistogramConfiguration::linear(Duration::from_nanos(50), 3));
        assert_eq!(ranges(&histogram), [0..50, 50..100, 100..u64::MAX]);
        let mut batch = HistogramBatch::from_histogram(&histogram);
        for value in [0, 49, 50, 100, 1_000, u64::MAX] {
            batch.measure(value);
        }
        assert_eq!(counts(&histogram), [0, 0, 0]);
        batch.submit(&histogram);
        assert_eq!(counts(&histogram), [2, 1, 3]);
    }

    #[test]
    fn a_new_batch_continues_the_totals() {
        let histogram = build(HistogramConfiguration::log(LogHistogram::default()));
        for _ in 0..2 {
            let mut batch = HistogramBatch::from_histogram(&histogram);
            batch.measure(7);
            batch.submit(&histogram);
        }
        assert_eq!(histogram.get(0), 2);
    }

    #[test]
    fn the_older_settings_count_if_there_are_any() {
        let mut builder = HistogramBuilder::default();
        assert_eq!(ranges(&builder.build())[..2], [0..100_000, 100_000..200_000]);
        builder.legacy_mut().num_buckets = 3;
        builder.legacy_mut().resolution = 50;
        assert_eq!(ranges(&builder.build()), [0..50, 50..100, 100..u64::MAX]);
        builder.legacy_mut().scale = HistogramScale::Log;
        assert_eq!(ranges(&builder.build()), [0..64, 64..128, 128..u64::MAX]);
        builder.legacy_mut().resolution = 1;
        assert_eq!(ranges(&builder.build()), [0..1, 1..2, 2..u64::MAX]);
    }

    #[test]
    fn odd_settings_do_not_panic() {
        for (width, buckets) in [(0, 3), (5, 0), (5, 1)] {
            let histogram = build(HistogramConfiguration::linear(Duration::from_nanos(width), buckets));
            let mut batch = HistogramBatch::from_histogram(&histogram);
            batch.measure(7);
            batch.submit(&histogram);
            assert_eq!(counts(&histogram).iter().sum::<u64>(), u64::from(buckets != 0));
        }
    }
}
