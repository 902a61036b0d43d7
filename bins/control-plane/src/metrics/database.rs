//! Metrics of the database, of what waits for it, and of the caches before it.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use storage::SqlDatabase;

use super::{BUCKETS, gauge, register, set};
use crate::http::ControlPlane;

pub struct DatabaseMetrics {
    commits: Histogram,
    queue_length: IntGauge,
    queue_oldest: Gauge,
    lost_events: IntCounter,
    lookups: IntCounterVec,
    in_use: IntGaugeVec,
    max: IntGaugeVec,
    waiting: IntGaugeVec,
    revision_lag: Gauge,
}

impl DatabaseMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let commits = HistogramOpts::new(
            "molecule_audit_commit_duration_seconds",
            "Time from when audit events are taken from their queue until they are durable",
        );
        let pool = |name: &str, help: &str| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), &["pool"]))
        };
        Ok(Self {
            commits: register(
                registry,
                Histogram::with_opts(commits.buckets(BUCKETS.to_vec())),
            )?,
            queue_length: register(
                registry,
                IntGauge::new(
                    "molecule_audit_queue_length",
                    "Jobs that wait for the thread that writes audit events",
                ),
            )?,
            queue_oldest: register(
                registry,
                Gauge::new(
                    "molecule_audit_queue_oldest_age_seconds",
                    "How long the oldest of these jobs has waited, those among them that are being written",
                ),
            )?,
            lost_events: register(
                registry,
                IntCounter::new(
                    "molecule_audit_events_lost_total",
                    "Audit events that were lost after their calls had been answered",
                ),
            )?,
            lookups: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "molecule_cache_lookups_total",
                        "Look-ups in caches, by result",
                    ),
                    &["cache", "result"],
                ),
            )?,
            in_use: pool(
                "molecule_database_connections_in_use",
                "Connections to the database that are in use",
            )?,
            max: pool(
                "molecule_database_connections_max",
                "Connections to the database that there can be",
            )?,
            waiting: pool(
                "molecule_database_connections_waiting",
                "Callers that wait for a connection to the database",
            )?,
            revision_lag: register(
                registry,
                Gauge::new(
                    "molecule_revision_lag_seconds",
                    "How long ago this instance last read the changes of keys",
                ),
            )?,
        })
    }

    /// Has the commits of a database observed.
    pub fn observe(&self, db: &SqlDatabase) {
        let commits = self.commits.clone();
        db.observe_audit_commits(move |took| commits.observe(took.as_secs_f64()));
    }

    /// Sets the metrics to what is so now. `authentications` is how many tokens were looked up.
    pub fn set(&self, service: &ControlPlane, authentications: u64) {
        let db = service.database();
        let queue = db.audit_queue_stats();
        self.queue_length.set(gauge(queue.length));
        self.queue_oldest.set(queue.oldest.as_secs_f64());
        set(&self.lost_events, db.lost_events());
        for pool in db.pool_stats() {
            let of = |gauges: &IntGaugeVec, count| {
                gauges.with_label_values(&[pool.name]).set(gauge(count));
            };
            of(&self.in_use, pool.in_use);
            of(&self.max, pool.max);
            of(&self.waiting, pool.waiting);
        }
        let statuses = service.status_cache_counts();
        let misses = service.credential_cache_misses();
        for (cache, hits, misses) in [
            // Those that are not counted as misses, so that a hit costs nothing.
            ("credential", authentications.saturating_sub(misses), misses),
            ("status", statuses.hits, statuses.misses),
        ] {
            set(&self.lookups.with_label_values(&[cache, "hit"]), hits);
            set(&self.lookups.with_label_values(&[cache, "miss"]), misses);
        }
        let lag = service.revision_lag();
        self.revision_lag
            .set(lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64()));
    }
}
