//! Listings that are late, doubled, out of order, or broken off.

use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use crate::body::below;
use crate::dice::Dice;
use crate::fate::{Fate, Request};
use crate::fault::{Fault, Operation};
use crate::store::Shared;

/// Which objects are listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub prefix: Option<Path>,
    /// Only what comes after this.
    pub offset: Option<Path>,
}

impl Listing {
    fn request(&self) -> Request {
        Request::new(Operation::List, self.prefix.as_ref().unwrap_or(&Path::default()))
    }

    /// How many steps below the prefix a path is, if it is below it.
    fn depth_of(&self, path: &Path) -> Option<usize> {
        path.prefix_match(self.prefix.as_ref().unwrap_or(&Path::default())).map(Iterator::count)
    }

    fn covers(&self, path: &Path) -> bool {
        self.depth_of(path).is_some_and(|depth| depth > 0)
            && self.offset.as_ref().is_none_or(|offset| path > offset)
    }
}

impl Shared {
    /// All objects of a listing; an error in between ends it.
    pub(crate) async fn list(&self, listing: Listing) -> Result<Vec<Result<ObjectMeta>>> {
        let fate = self.decide(listing.request());
        fate.admit(0).await?;
        self.let_arrive(self.now()).await;
        let prefix = listing.prefix.as_ref();
        let listed = match &listing.offset {
            Some(offset) => self.inner.list_with_offset(prefix, offset),
            None => self.inner.list(prefix),
        };
        let listed = listed.try_collect().await?;
        let listed = self.disturb(listed, &fate, |path| listing.covers(path));
        fate.answer(0).await;
        let mut answer: Vec<_> = listed.into_iter().map(Ok).collect();
        if fate.is(Fault::DropStream) {
            answer.truncate(answer.len() / 2);
            answer.push(Err(fate.failed(Fault::DropStream)));
        }
        Ok(answer)
    }

    /// One level of a listing. It comes as a whole, so it cannot break off: then nothing comes.
    pub(crate) async fn list_level(&self, listing: Listing) -> Result<ListResult> {
        let fate = self.decide(listing.request());
        fate.admit(0).await?;
        self.let_arrive(self.now()).await;
        let mut level = self.inner.list_with_delimiter(listing.prefix.as_ref()).await?;
        let is_child = |path: &Path| listing.depth_of(path) == Some(1);
        level.objects = self.disturb(level.objects, &fate, is_child);
        fate.answer(0).await;
        if fate.is(Fault::DropStream) {
            return Err(fate.failed(Fault::DropStream));
        }
        Ok(level)
    }

    fn disturb(
        &self,
        mut listed: Vec<ObjectMeta>,
        fate: &Fate,
        belongs: impl Fn(&Path) -> bool,
    ) -> Vec<ObjectMeta> {
        let mut dice = Dice::new(fate.draw);
        match fate.fault {
            Some(Fault::StaleList) => {
                let state = self.state.lock();
                let window = state.stale_window().unwrap_or_default();
                let age = dice.between(&(Duration::ZERO..=window));
                return state.history.as_of(self.now().saturating_sub(age), listed, belongs);
            }
            Some(Fault::ListDuplicate) if !listed.is_empty() => {
                let twice = listed[below(dice.draw(), listed.len())].clone();
                listed.insert(below(dice.draw(), listed.len() + 1), twice);
            }
            Some(Fault::ListReorder) => {
                for end in (1..listed.len()).rev() {
                    listed.swap(end, below(dice.draw(), end + 1));
                }
            }
            _ => {}
        }
        listed
    }
}
