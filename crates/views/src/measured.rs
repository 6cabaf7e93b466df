//! The views' part of the page of metrics.

use crate::look::Look;
use crate::views::Views;
use metrics::{Family, Page, Table, counter, gauge_of_max, gauge_of_sum};

const VIEWS: Table<Look> = Table {
    labels: &["view"],
    rows: &[
        gauge_of_sum("eventwright_view_rows", "Rows of the materialized table.", |look| {
            Some((look.view.rows() as u64).into())
        }),
        gauge_of_sum("eventwright_view_memory_bytes", "About what its rows take in memory.", |look| {
            Some(look.view.bytes().into())
        }),
        gauge_of_sum(
            "eventwright_view_lag_records",
            "Records of the log that the job of the view has yet to take.",
            |look| Some(look.health.as_ref()?.lag_records.into()),
        ),
        gauge_of_max(
            "eventwright_view_lag_seconds",
            "Age of the first record that the job of the view has yet to take, by the time in the record; 0 when the \
             view has everything.",
            |look| Some((look.health.as_ref()?.behind_ms as f64 / 1e3).into()),
        ),
        gauge_of_max(
            "eventwright_view_stands",
            "1 if the view does not follow its input any more: it was given up, or its job has stopped or failed. A job \
             that has read all of its input is none of these.",
            |look| Some(look.stands().into()),
        ),
        counter(
            "eventwright_view_reads_total",
            "Reads of the view by queries and subscriptions; a query that names it twice reads it twice.",
            |look| Some(look.view.reads().into()),
        ),
    ],
};

/// Everything that is measured of views.
pub fn metric_families() -> Vec<Family> {
    VIEWS.families().collect()
}

impl Look {
    fn stands(&self) -> bool {
        let stands = self.health.as_ref().is_some_and(|health| health.stands.is_some());
        stands || self.view.broken().is_some()
    }
}

impl Views {
    pub fn write_metrics(&self, page: &mut Page) {
        let looks = self.look().into_iter().map(|look| (vec![look.view.name().to_owned()], look));
        page.table(&VIEWS, &looks.collect::<Vec<_>>());
    }
}
