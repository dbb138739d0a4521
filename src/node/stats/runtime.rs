//! The runtime that carries the connections: how busy its workers are.

use culvert_metrics::Collected;
use tokio::runtime::RuntimeMetrics;

/// Looks at the runtime as it is at the moment.
pub(super) fn look(of: &RuntimeMetrics) -> Vec<Collected> {
    let gauge = |name, help, value: usize| Collected::gauge(name, help).of(Some(value as f64));
    let per_worker = |name, help, value: &dyn Fn(usize) -> f64| {
        (0..of.num_workers()).fold(Collected::counter(name, help), |family, worker| {
            family.with(&[("worker", &worker.to_string())], value(worker))
        })
    };
    vec![
        gauge("tokio_num_workers", "Threads that carry connections.", of.num_workers()),
        gauge("tokio_num_alive_tasks", "Tasks that have not ended.", of.num_alive_tasks()),
        gauge("tokio_global_queue_depth", "Tasks no thread has taken yet.", of.global_queue_depth()),
        per_worker(
            "tokio_worker_total_busy_duration_seconds_total",
            "How long a thread has been running tasks.",
            &|worker| of.worker_total_busy_duration(worker).as_secs_f64(),
        ),
        per_worker("tokio_worker_park_count_total", "How often a thread went to sleep.", &|worker| {
            of.worker_park_count(worker) as f64
        }),
        per_worker(
            "tokio_worker_park_unpark_count_total",
            "How often a thread went to sleep or was woken.",
            &|worker| of.worker_park_unpark_count(worker) as f64,
        ),
    ]
}
