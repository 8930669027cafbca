//! Where a queue is kept, from what Python names it by.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3_object_store::{
    PyAzureStore, PyGCSStore, PyLocalStore, PyMemoryStore, PyObjectStore, PyS3Store, from_url,
};
use taquba_engine::log::{Access, Target};

use crate::chaos::ChaosStore;
use crate::{error, text};

/// The store behind a URL or bare path (`str`), a directory (`PathLike`) or a store object of ours.
///
/// Python has already turned stores of other libraries and local ones into these.
pub fn target(store: &Bound<'_, PyAny>, access: Access) -> PyResult<Target> {
    let py = store.py();
    if let Ok(url) = store.cast::<PyString>() {
        return Target::from_url(text::read("store", url)?, access)
            .map_err(|refused| error::to_py(py, &refused));
    }
    if let Ok(dir) = store.extract::<PathBuf>() {
        return Target::local(&dir, access).map_err(|refused| error::to_py(py, &refused));
    }
    if let Ok(slow) = store.cast::<SlowStore>() {
        return Ok(Target::from_store(Arc::clone(&slow.get().inner), store.repr()?.to_string()));
    }
    if let Ok(chaos) = store.cast::<ChaosStore>() {
        return Ok(Target::from_store(chaos.get().store(), store.repr()?.to_string()));
    }
    let location = match store.cast::<PyMemoryStore>() {
        Ok(_) => "memory://".to_owned(),
        Err(_) => store.repr()?.to_string(),
    };
    Ok(Target::from_store(store.extract::<PyObjectStore>()?.into_dyn(), location))
}

/// What tells a store from others within the process. A memory store is told by its identity: all
/// look the same.
pub fn name(store: &Bound<'_, PyAny>) -> PyResult<String> {
    static MEMORY_COUNT: AtomicU64 = AtomicU64::new(0);
    let shown = store.str()?.to_string();
    let is_told_by_address = store.is_instance_of::<PyMemoryStore>()
        || store.is_instance_of::<SlowStore>()
        || store.is_instance_of::<ChaosStore>();
    if is_told_by_address {
        return Ok(format!("{shown} at {:p}", store.as_ptr()));
    }
    if shown.starts_with("memory:") {
        let number = MEMORY_COUNT.fetch_add(1, Ordering::Relaxed);
        return Ok(format!("{shown} number {number}"));
    }
    Ok(shown)
}

/// Memory behind a network that is not there: what the benchmarks take for a distant store.
#[pyclass(frozen)]
pub struct SlowStore {
    inner: Arc<dyn ObjectStore>,
    put_ms: f64,
    get_ms: f64,
}

#[pymethods]
impl SlowStore {
    /// `put_ms` for each write, `get_ms` for each read and listing: 0 to 60,000.
    #[new]
    fn new(put_ms: f64, get_ms: f64) -> PyResult<Self> {
        const LATENCY_MS_MAX: f64 = 60_000.0;
        for (name, value) in [("put_ms", put_ms), ("get_ms", get_ms)] {
            if !(0.0..=LATENCY_MS_MAX).contains(&value) {
                let message = format!("`{name}` is {value}; give 0 to {LATENCY_MS_MAX}");
                return Err(PyValueError::new_err(message));
            }
        }
        let [put, get] = [put_ms, get_ms].map(|ms| Duration::from_secs_f64(ms / 1_000.0));
        let config = ThrottleConfig {
            wait_put_per_call: put,
            wait_delete_per_call: put,
            wait_get_per_call: get,
            wait_list_per_call: get,
            wait_list_with_delimiter_per_call: get,
            ..ThrottleConfig::default()
        };
        Ok(Self { inner: Arc::new(ThrottledStore::new(InMemory::new(), config)), put_ms, get_ms })
    }

    fn __repr__(&self) -> String {
        format!("SlowStore(put_ms={}, get_ms={})", self.put_ms, self.get_ms)
    }
}

/// Adds the store classes, under the name by which users import them.
pub fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyAzureStore>()?;
    module.add_class::<PyGCSStore>()?;
    module.add_class::<PyLocalStore>()?;
    module.add_class::<PyMemoryStore>()?;
    module.add_class::<PyS3Store>()?;
    module.add_class::<SlowStore>()?;
    module.add_function(wrap_pyfunction!(from_url, module)?)?;
    for name in ["AzureStore", "GCSStore", "LocalStore", "MemoryStore", "S3Store", "from_url"] {
        module.getattr(name)?.setattr("__module__", "taquba.store")?;
    }
    Ok(())
}
