//! The guard in front of a store that misbehaves.

use object_store::memory::InMemory;
use slatedb_common::retry::NonRetryable;

use super::*;

/// Answers the first creates with what S3 says to racing ones: a conflict, and no object.
#[derive(Debug, Default)]
struct Conflicting {
    inner: InMemory,
    conflicts: AtomicU64,
    /// Questions whether an object is there that are not answered.
    silences: AtomicU64,
    is_denied: bool,
}

impl Conflicting {
    fn guarded(conflicts: u64) -> GuardedStore {
        Self::silent(conflicts, 0)
    }

    fn silent(conflicts: u64, silences: u64) -> GuardedStore {
        let (conflicts, silences) = (AtomicU64::new(conflicts), AtomicU64::new(silences));
        let store = Self { inner: InMemory::new(), conflicts, silences, is_denied: false };
        GuardedStore::new(Arc::new(store), Attribution::Kept)
    }
}

impl fmt::Display for Conflicting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conflicting")
    }
}

#[async_trait]
impl ObjectStore for Conflicting {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.is_denied {
            let (path, source) = (location.to_string(), "no right".into());
            return Err(Error::PermissionDenied { path, source });
        }
        let left = self.conflicts.load(Ordering::Relaxed);
        if left > 0 {
            self.conflicts.store(left - 1, Ordering::Relaxed);
            let (path, source) = (location.to_string(), "409 Conflict".into());
            return Err(Error::AlreadyExists { path, source });
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let left = self.silences.load(Ordering::Relaxed);
        if options.head && left > 0 {
            self.silences.store(left - 1, Ordering::Relaxed);
            return Err(Error::Generic { store: "Conflicting", source: "no answer".into() });
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

#[tokio::test]
async fn a_conflict_without_an_object_is_tried_again() {
    let store = Conflicting::guarded(2);

    let put = store.put_opts(&Path::from("wal/1"), "row".into(), create()).await;

    assert!(put.is_ok(), "{put:?}");
    assert_eq!(store.counts().put_count, 3);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_without_an_object_is_never_believed() {
    for store in [Conflicting::guarded(100), Conflicting::silent(1, 1)] {
        let put = store.put_opts(&Path::from("wal/1"), "row".into(), create()).await;

        assert!(matches!(put, Err(Error::Generic { .. })), "{put:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_there_is_believed() {
    let store = Conflicting::guarded(0);
    store.put_opts(&Path::from("wal/1"), "first".into(), create()).await.expect("it is free");

    let put = store.put_opts(&Path::from("wal/1"), "second".into(), create()).await;

    assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
}

#[tokio::test]
async fn a_missing_right_is_final() {
    let inner = Conflicting { is_denied: true, ..Conflicting::default() };
    let store = GuardedStore::new(Arc::new(inner), Attribution::Kept);

    let put = store.put_opts(&Path::from("wal/1"), "row".into(), create()).await;

    let error = put.expect_err("the right is missing");
    assert!(NonRetryable::find(&error).is_some(), "{error:?}");
}

#[tokio::test]
async fn an_object_cut_short_is_told_as_such_and_at_once() {
    let inner = Arc::new(InMemory::new());
    let store = GuardedStore::new(Arc::clone(&inner) as _, Attribution::Kept);
    let place = Path::from("compacted/1.sst");
    inner.put(&place, "short".into()).await.expect("memory");

    let read = store.get_range(&place, 100..200).await;

    let error = read.expect_err("there are five bytes");
    assert!(NonRetryable::find(&error).is_some(), "{error:?}");
    let told = super::super::failure::of_store("store", &error);
    assert!(matches!(told, crate::error::Error::Corrupted { .. }), "{told:?}");
}
