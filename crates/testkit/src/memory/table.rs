//! A table: rows by their id, cheap to copy as a whole.

use std::{collections::BTreeMap, sync::Arc};

use ids::{Page, PageRequest, TypedId, Ulid};
use stores::StoreError;

/// A statement that an engine's constraints would have refused.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("constraint violated: {0}")]
pub(super) struct Violated(pub(super) &'static str);

impl From<Violated> for StoreError {
    fn from(violated: Violated) -> Self {
        Self::Engine(Arc::new(violated))
    }
}

/// Copies share their rows until one of them changes.
#[derive(Debug)]
pub(super) struct Table<K, V>(Arc<BTreeMap<K, Arc<V>>>);

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub(super) fn get(&self, id: &K) -> Option<&V> {
        self.0.get(id).map(Arc::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        if self.0.contains_key(id) {
            Arc::make_mut(&mut self.0).get_mut(id).map(Arc::make_mut)
        } else {
            None
        }
    }

    /// The rows in the order of their ids.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.values().map(Arc::as_ref)
    }

    /// The ids and rows in the order of the ids.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(id, row)| (id, row.as_ref()))
    }

    /// Changes the rows that `wanted` picks.
    pub(super) fn change(&mut self, wanted: impl Fn(&V) -> bool, mut change: impl FnMut(&mut V)) {
        let ids: Vec<K> = self
            .0
            .iter()
            .filter(|(_, row)| wanted(row))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(row) = self.get_mut(&id) {
                change(row);
            }
        }
    }

    /// Adds a row whose id must be new.
    pub(super) fn insert(&mut self, id: K, row: V) -> Result<(), StoreError> {
        if self.0.contains_key(&id) {
            return Err(Violated("the id is taken").into());
        }
        self.put(id, row);
        Ok(())
    }

    /// Sets a row, whether it is there or not.
    pub(super) fn put(&mut self, id: K, row: V) {
        Arc::make_mut(&mut self.0).insert(id, Arc::new(row));
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        Arc::make_mut(&mut self.0).retain(|_, row| keep(row));
    }
}

impl<K: TypedId, V: Clone> Table<K, V> {
    /// The page of those rows that `wanted` picks, newest first.
    pub(super) fn page(&self, page: PageRequest, wanted: impl Fn(&V) -> bool) -> Page<V> {
        let rows = self.0.iter().map(|(id, row)| (id.ulid(), row.as_ref()));
        let rows = rows.rev();
        paged(
            page,
            rows.filter(|&(id, _)| page.after.is_none_or(|after| id < after)),
            wanted,
        )
    }

    /// The page of those rows that `wanted` picks, oldest first.
    pub(super) fn page_oldest_first(
        &self,
        page: PageRequest,
        wanted: impl Fn(&V) -> bool,
    ) -> Page<V> {
        let rows = self.0.iter().map(|(id, row)| (id.ulid(), row.as_ref()));
        paged(
            page,
            rows.filter(|&(id, _)| page.after.is_none_or(|after| id > after)),
            wanted,
        )
    }
}

/// A page of the rows that `wanted` picks; each row costs one of the budget.
fn paged<'a, V: Clone + 'a>(
    page: PageRequest,
    mut rows: impl Iterator<Item = (Ulid, &'a V)>,
    wanted: impl Fn(&V) -> bool,
) -> Page<V> {
    let (mut found, mut stopped) = (Vec::new(), None);
    for (id, row) in rows.by_ref().take(page.budget.max(1)) {
        if wanted(row) {
            found.push((id, row.clone()));
        }
        if found.len() > page.limit {
            break;
        }
        stopped = Some(id);
    }
    // Whoever has seen all stops nowhere.
    let stopped = stopped.filter(|_| rows.next().is_some());
    Page::cut(found, page.limit, stopped, |&(id, _)| id).map(|(_, row)| row)
}
