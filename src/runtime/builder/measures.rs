//! What a runtime is to measure of its tasks: only with the feature `metrics` (or `--cfg
//! tokio_unstable`, as on Tokio).

use super::Builder;
use crate::runtime::metrics::HistogramBuilder;
use crate::runtime::{HistogramConfiguration, HistogramScale};

use std::time::Duration;

/// The wishes so far.
#[derive(Default)]
pub(super) struct Measures {
    poll_times_enabled: bool,
    poll_times: HistogramBuilder,
    #[cfg(feature = "schedule-latency")]
    pub(super) track_latency: bool,
    #[cfg(feature = "schedule-latency")]
    schedule_latencies_enabled: bool,
    #[cfg(feature = "schedule-latency")]
    schedule_latencies: HistogramBuilder,
}

impl Measures {
    pub(super) fn poll_times(&self) -> Option<HistogramBuilder> {
        self.poll_times_enabled.then(|| self.poll_times.clone())
    }

    #[cfg(feature = "schedule-latency")]
    pub(super) fn schedule_latencies(&self) -> Option<HistogramBuilder> {
        self.schedule_latencies_enabled.then(|| self.schedule_latencies.clone())
    }
}

#[cfg_attr(docsrs, doc(cfg(any(tokio_unstable, feature = "metrics"))))]
impl Builder {
    /// Has each worker count how long its polls take; see
    /// [`RuntimeMetrics::poll_time_histogram_bucket_count`]. It costs two looks at the clock a
    /// poll, so it is off unless asked for.
    ///
    /// By default there are ten buckets, each 100 µs wide, but the last, which has no end;
    /// [`metrics_poll_time_histogram_configuration`] changes that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_multi_thread().enable_metrics_poll_time_histogram().build().unwrap();
    /// let metrics = rt.metrics();
    /// assert_eq!(metrics.poll_time_histogram_num_buckets(), 10);
    /// assert_eq!(metrics.poll_time_histogram_bucket_range(0).end, Duration::from_micros(100));
    /// ```
    ///
    /// [`RuntimeMetrics::poll_time_histogram_bucket_count`]:
    ///     crate::runtime::RuntimeMetrics::poll_time_histogram_bucket_count
    /// [`metrics_poll_time_histogram_configuration`]: Builder::metrics_poll_time_histogram_configuration
    pub fn enable_metrics_poll_time_histogram(&mut self) -> &mut Self {
        self.measures.poll_times_enabled = true;
        self
    }

    /// Now called [`enable_metrics_poll_time_histogram`](Self::enable_metrics_poll_time_histogram).
    #[deprecated(
        note = "`poll_count_histogram` related methods have been renamed `poll_time_histogram` to better reflect their functionality."
    )]
    #[doc(hidden)]
    pub fn enable_metrics_poll_count_histogram(&mut self) -> &mut Self {
        self.enable_metrics_poll_time_histogram()
    }

    /// Chooses the buckets for the times of polls.
    ///
    /// Without effect unless [enabled](Self::enable_metrics_poll_time_histogram), and after any
    /// of the older methods that chose scale, resolution or number of buckets.
    ///
    /// ```
    /// use tokio::runtime::{Builder, HistogramConfiguration, LogHistogram};
    ///
    /// let rt = Builder::new_multi_thread()
    ///     .enable_metrics_poll_time_histogram()
    ///     .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(LogHistogram::default()))
    ///     .build()
    ///     .unwrap();
    /// assert_eq!(rt.metrics().poll_time_histogram_num_buckets(), 119);
    /// ```
    pub fn metrics_poll_time_histogram_configuration(
        &mut self,
        configuration: HistogramConfiguration,
    ) -> &mut Self {
        self.measures.poll_times.histogram_type = configuration.inner;
        self
    }

    /// Chooses the scale for the times of polls. Default: linear.
    #[deprecated(note = "use `metrics_poll_time_histogram_configuration`")]
    pub fn metrics_poll_count_histogram_scale(&mut self, histogram_scale: HistogramScale) -> &mut Self {
        self.measures.poll_times.legacy_mut().scale = histogram_scale;
        self
    }

    /// Chooses the width of the first bucket for the times of polls; on a logarithmic scale it is
    /// rounded up to a power of two of nanoseconds. Default: 100 µs.
    ///
    /// # Panics
    ///
    /// Panics if `resolution` is zero or longer than a second.
    #[deprecated(note = "use `metrics_poll_time_histogram_configuration`")]
    #[track_caller]
    pub fn metrics_poll_count_histogram_resolution(&mut self, resolution: Duration) -> &mut Self {
        assert!(resolution > Duration::from_secs(0));
        assert!(resolution <= Duration::from_secs(1));
        self.measures.poll_times.legacy_mut().resolution = resolution.as_nanos() as u64;
        self
    }

    /// Chooses the number of buckets for the times of polls; the last one has no end. Default: 10.
    #[deprecated(note = "use `metrics_poll_time_histogram_configuration`")]
    pub fn metrics_poll_count_histogram_buckets(&mut self, buckets: usize) -> &mut Self {
        self.measures.poll_times.legacy_mut().num_buckets = buckets;
        self
    }
}

#[cfg(feature = "schedule-latency")]
#[cfg_attr(docsrs, doc(cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))))]
impl Builder {
    /// Has it measured how long tasks wait between being scheduled and being polled, for
    /// [`TaskMeta::schedule_latency`]. It costs two looks at the clock a poll, so it is off unless
    /// asked for.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_current_thread()
    ///     .track_task_schedule_latency()
    ///     .on_before_task_poll(|meta| assert!(meta.schedule_latency().is_some()))
    ///     .build()
    ///     .unwrap();
    /// rt.block_on(rt.spawn(async {})).unwrap();
    /// ```
    ///
    /// [`TaskMeta::schedule_latency`]: crate::runtime::TaskMeta::schedule_latency
    #[cfg(tokio_unstable)] // there is no `TaskMeta` without
    #[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "schedule-latency"))))]
    pub fn track_task_schedule_latency(&mut self) -> &mut Self {
        self.measures.track_latency = true;
        self
    }

    /// Has each worker count how long its tasks wait for a poll; see
    /// [`RuntimeMetrics::schedule_latency_histogram_bucket_count`]. Includes
    /// [`track_task_schedule_latency`](Self::track_task_schedule_latency).
    ///
    /// By default there are ten buckets, each 100 µs wide, but the last, which has no end;
    /// [`metrics_schedule_latency_histogram_configuration`] changes that.
    ///
    /// [`RuntimeMetrics::schedule_latency_histogram_bucket_count`]:
    ///     crate::runtime::RuntimeMetrics::schedule_latency_histogram_bucket_count
    /// [`metrics_schedule_latency_histogram_configuration`]:
    ///     Builder::metrics_schedule_latency_histogram_configuration
    pub fn enable_metrics_schedule_latency_histogram(&mut self) -> &mut Self {
        self.measures.track_latency = true;
        self.measures.schedule_latencies_enabled = true;
        self
    }

    /// Chooses the buckets for the times that tasks wait for a poll. Without effect unless
    /// [enabled](Self::enable_metrics_schedule_latency_histogram).
    pub fn metrics_schedule_latency_histogram_configuration(
        &mut self,
        configuration: HistogramConfiguration,
    ) -> &mut Self {
        self.measures.schedule_latencies.histogram_type = configuration.inner;
        self
    }
}
