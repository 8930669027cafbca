//! What `taquba.testing` needs of stores: one that fails, and one as a kill would leave it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use pyo3::prelude::*;
use pyo3_object_store::{PyMemoryStore, PyObjectStore};
use taquba_chaos::{ChaosStore as Chaos, Fault, Operation, Plan, Rule};

use crate::duration::duration;
use crate::error;

const OPERATIONS: [Operation; 8] = [
    Operation::Put,
    Operation::UploadPart,
    Operation::UploadComplete,
    Operation::Get,
    Operation::Head,
    Operation::List,
    Operation::Delete,
    Operation::Copy,
];

/// A `taquba.testing.FaultRule`, read by its attributes.
#[derive(FromPyObject)]
struct RuleArguments {
    odds: f64,
    at_most: Option<u64>,
    operations: Vec<String>,
    paths: Vec<String>,
}

/// What a `taquba.testing.ChaosStore` is made of, read by its attributes.
#[derive(FromPyObject)]
struct PlanArguments {
    faults: BTreeMap<String, RuleArguments>,
    latency: (Duration, Duration),
    landing_delay: (Duration, Duration),
    deny_window: Duration,
    stale_window: Duration,
    hang_limit: Duration,
    requests_per_second: u32,
    bytes_per_second: u64,
}

/// A store that fails as stores fail. `taquba.testing.ChaosStore` is what users make.
#[pyclass(frozen, subclass, module = "taquba._taquba")]
pub struct ChaosStore {
    chaos: Chaos,
    inner: String,
    seed: u64,
}

impl ChaosStore {
    /// The engine's form.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.chaos.clone())
    }
}

#[pymethods]
impl ChaosStore {
    #[new]
    fn new(store: &Bound<'_, PyAny>, plan: &Bound<'_, PyAny>, seed: u64) -> PyResult<Self> {
        let inner = store.str()?.to_string();
        let plan = plan.extract::<PlanArguments>()?.to_plan(store.py())?;
        let chaos = Chaos::new(store.extract::<PyObjectStore>()?.into_dyn(), plan, seed);
        Ok(Self { chaos, inner, seed })
    }

    /// End all faults. What is on its way, such as a put that arrives late, goes on.
    fn calm(&self) {
        self.chaos.calm();
    }

    /// Have faults again, as planned.
    fn resume(&self) {
        self.chaos.resume();
    }

    /// Refuse all that begins within this time, as if the credentials were wrong.
    ///
    /// Args:
    ///     seconds: For how long: `float` seconds or a `timedelta`.
    fn deny(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.chaos.deny_for(duration("seconds", seconds)?);
        Ok(())
    }

    /// Count the faults that have happened, by name.
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.chaos.counts().iter().map(|(fault, count)| (fault.name(), count)).collect()
    }

    /// Count the requests that were made, those that failed among them.
    fn request_count(&self) -> u64 {
        self.chaos.counts().requests()
    }

    fn __repr__(&self) -> String {
        format!("ChaosStore({}, seed={})", self.inner, self.seed)
    }
}

impl PlanArguments {
    fn to_plan(&self, py: Python<'_>) -> PyResult<Plan> {
        let plan = Plan::default()
            .latency(self.latency.0..=self.latency.1)
            .delay(self.landing_delay.0..=self.landing_delay.1)
            .deny_window(self.deny_window)
            .stale_window(self.stale_window)
            .hang_limit(self.hang_limit)
            .throttle(self.requests_per_second, self.requests_per_second)
            .bandwidth(self.bytes_per_second);
        self.faults.iter().try_fold(plan, |plan, (name, rule)| {
            let fault = Fault::from_name(name).ok_or_else(|| {
                let names = listed(Fault::ALL.map(Fault::name));
                error::invalid_argument(py, "faults", name, &format!("give {names}"))
            })?;
            Ok(plan.with(fault, rule.to_rule(py)?))
        })
    }
}

impl RuleArguments {
    fn to_rule(&self, py: Python<'_>) -> PyResult<Rule> {
        let rule = Rule::odds(self.odds);
        let rule = self.at_most.map_or(rule.clone(), |count| rule.at_most(count));
        let rule = self.paths.iter().fold(rule, Rule::at);
        self.operations.iter().try_fold(rule, |rule, name| {
            let operation = OPERATIONS.into_iter().find(|operation| operation.name() == name);
            operation.map(|operation| rule.on(operation)).ok_or_else(|| {
                let names = listed(OPERATIONS.map(Operation::name));
                error::invalid_argument(py, "operations", name, &format!("give {names}"))
            })
        })
    }
}

fn listed<const COUNT: usize>(names: [&str; COUNT]) -> String {
    names.map(|name| format!("`{name}`")).join(", ")
}

/// A second memory store, with what the first one holds at this instant.
///
/// What a process leaves behind that dies now: its later writes reach the first store only.
#[pyfunction]
#[pyo3(signature = (store, /))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 gives it as a value: a counted reference")]
pub fn fork_memory(store: PyMemoryStore) -> PyMemoryStore {
    PyMemoryStore::from(Arc::new(store.as_ref().fork()))
}
