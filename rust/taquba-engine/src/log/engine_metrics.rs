//! What the storage engine counts of itself, in the words of this crate.

use slatedb_common::metrics::{DefaultMetricsRecorder, MetricValue};

use crate::metrics::{StorageMetric, StorageValue};

/// All of it, at one moment.
pub(super) fn read(recorder: &DefaultMetricsRecorder) -> Vec<StorageMetric> {
    let metrics = recorder.snapshot();
    let told = metrics.all().iter().map(|metric| StorageMetric {
        name: metric.name.clone(),
        labels: metric.labels.clone(),
        value: value_of(&metric.value),
    });
    told.collect()
}

fn value_of(value: &MetricValue) -> StorageValue {
    match value {
        MetricValue::Counter(count) => StorageValue::Counter(*count),
        MetricValue::Gauge(value) | MetricValue::UpDownCounter(value) => {
            StorageValue::Gauge(*value)
        }
        MetricValue::Histogram { sum, boundaries, bucket_counts, .. } => StorageValue::Histogram {
            bounds: boundaries.clone(),
            counts: bucket_counts.clone(),
            sum: *sum,
        },
    }
}
