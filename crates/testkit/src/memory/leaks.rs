//! Reports of leaked tokens in memory.

use ids::RequestId;
use keys::{LeakQueries, LeakReport, LeakStore, LeakSubject, MAX_LEAK_NOTICES, MAX_LEAK_REPORTS};
use stores::StoreError;
use time::OffsetDateTime;

use super::session::{MemoryTx, Session};

impl<Mode> LeakQueries for Session<Mode> {
    type Error = StoreError;

    fn leak_reports(
        &mut self,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<LeakReport>, StoreError> {
        let reports = self.state.leak_reports.rows();
        Ok(reports
            .filter(|report| report.received_at <= until)
            .take(limit)
            .cloned()
            .collect())
    }
}

impl LeakStore for MemoryTx {
    fn leak_reports_insert(&mut self, reports: &[LeakReport]) -> Result<usize, StoreError> {
        let waiting = self.state.leak_reports.rows().count();
        let added = reports.len().min(MAX_LEAK_REPORTS.saturating_sub(waiting));
        for report in reports.iter().take(added) {
            self.state.leak_reports.insert(report.id, report.clone())?;
        }
        Ok(added)
    }

    fn leak_report_remove(&mut self, id: RequestId) -> Result<(), StoreError> {
        self.state.leak_reports.retain(|report| report.id != id);
        Ok(())
    }

    fn leak_notice_insert(
        &mut self,
        subject: LeakSubject,
        location: &[u8; 32],
        at: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let subject = subject.to_string();
        let notices = &mut self.state.leak_notices;
        notices.retain(|(of, _, told_at)| *of != subject || *told_at >= since);
        let of_key = notices.rows().filter(|(of, _, _)| *of == subject);
        if of_key.count() >= MAX_LEAK_NOTICES
            || notices.get(&(subject.clone(), *location)).is_some()
        {
            return Ok(false);
        }
        notices.insert((subject.clone(), *location), (subject, *location, at))?;
        Ok(true)
    }
}
