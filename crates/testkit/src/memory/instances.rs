//! Instances in memory.

use ids::{InstanceId, Page, PageRequest};
use instances::{Instance, InstanceQueries, InstanceStore};
use stores::StoreError;
use time::OffsetDateTime;

use super::session::{MemoryTx, Session};

impl<Mode> InstanceQueries for Session<Mode> {
    type Error = StoreError;

    fn server_time(&mut self) -> Result<Option<OffsetDateTime>, StoreError> {
        Ok(None)
    }

    fn instances(
        &mut self,
        since: OffsetDateTime,
        page: PageRequest,
    ) -> Result<Page<Instance>, StoreError> {
        let is_wanted = |instance: &Instance| instance.last_seen_at >= since;
        Ok(self.state.instances.page(page, is_wanted))
    }
}

impl InstanceStore for MemoryTx {
    fn instances_lock(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn instance_report(&mut self, instance: &Instance) -> Result<(), StoreError> {
        self.state.instances.put(instance.id, instance.clone());
        Ok(())
    }

    fn instance_remove(&mut self, id: InstanceId) -> Result<(), StoreError> {
        self.state.instances.retain(|instance| instance.id != id);
        Ok(())
    }

    fn instances_prune(&mut self, before: OffsetDateTime) -> Result<usize, StoreError> {
        let count = self.state.instances.rows().count();
        let instances = &mut self.state.instances;
        instances.retain(|instance| instance.last_seen_at >= before);
        Ok(count - instances.rows().count())
    }
}
