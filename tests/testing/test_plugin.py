"""The pytest plugin, as a project sees it that has installed taquba."""

import pytest

from taquba import MockClock, OpenOptions, Queue, RunSpec, Step, StepOutcome, WorkflowRuntime
from taquba.testing import VirtualClock

pytest_plugins = ["pytester"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# One of each way to write an asynchronous test. Each has a queue of its own: all use one name.
TESTS = """
import asyncio

import pytest

from taquba import RunSpec, StepOutcome, WorkflowRuntime


async def remind(step):
    if step.step_number < 2:
        return StepOutcome.ContinueAfter(b"", 86_400)
    return StepOutcome.Succeed(b"done")


async def work(queue, clock):
    assert (await queue.list_runs()).runs == []
    async with WorkflowRuntime(queue, remind) as runtime:
        handle = await runtime.submit(RunSpec(b"", run_id="one"))
        await clock.advance(2 * 86_400)
        assert (await handle.outcome(timeout=5)).result == b"done"


@pytest.mark.asyncio
async def test_of_pytest_asyncio(taquba_queue, taquba_clock):
    await work(taquba_queue, taquba_clock)


@pytest.mark.anyio
async def test_of_anyio(taquba_queue, taquba_clock, anyio_backend):
    await work(taquba_queue, taquba_clock)


def test_of_nobody(taquba_queue, taquba_clock):
    asyncio.run(work(taquba_queue, taquba_clock))


@pytest.mark.asyncio
async def test_that_leaves_everything_open(taquba_queue):
    runtime = WorkflowRuntime(taquba_queue, remind)
    await runtime.__aenter__()
    await runtime.submit(RunSpec(b"", run_id="one"))


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

SEEDS = """
import pytest

seen = []


@pytest.mark.taquba_seeds(3)
def test_many(taquba_seed):
    seen.append(taquba_seed)


def test_one(taquba_seed):
    assert taquba_seed == SEED
"""


def run(
    pytester: pytest.Pytester, *arguments: str, asyncio_mode: str = "strict"
) -> pytest.RunResult:
    """Runs the project's tests as a session of their own, in which a warning is an error."""
    scope = "asyncio_default_fixture_loop_scope=function"
    options = ("-W", "error", "-o", f"asyncio_mode={asyncio_mode}", "-o", scope)
    return pytester.runpytest_inprocess("-p", "no:randomly", "-v", *options, *arguments)


@pytest.mark.parametrize("asyncio_mode", ["strict", "auto"])
def test_the_fixtures_serve_every_way_of_asynchronous_tests(
    pytester: pytest.Pytester, asyncio_mode: str
) -> None:
    pytester.makepyfile(TESTS)

    run(pytester, asyncio_mode=asyncio_mode).assert_outcomes(passed=4)


def test_a_mark_runs_a_test_with_several_seeds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS.replace("SEED", "0"))

    result = run(pytester, "--strict-markers")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*test_many?seed=2? PASSED*"])


def test_one_seed_can_be_repeated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS.replace("SEED", "77"))

    run(pytester, "--taquba-seed", "77").assert_outcomes(passed=2)


def test_a_night_runs_more_seeds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS.replace("SEED", "0"))

    # `test_one` takes the first of its five seeds only.
    run(pytester, "--taquba-seeds", "5").assert_outcomes(passed=6, failed=4)


def test_a_seed_that_is_none_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")

    result = run(pytester, "--taquba-seed", "-1")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--taquba-seed*"])


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_without(taquba_queue): pass")

    result = run(pytester, "-p", "no:taquba")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'taquba_queue' not found*"])


def test_a_store_and_options_of_ones_own_take_the_place_of_the_defaults(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from taquba import OpenOptions, QueueConfig
        from taquba.testing import ChaosStore


        @pytest.fixture
        def taquba_store():
            return ChaosStore()


        @pytest.fixture
        def taquba_options():
            return OpenOptions(default_queue_config=QueueConfig(max_attempts=1))


        def test_both(taquba_queue, taquba_store):
            async def fail_once():
                await taquba_queue.enqueue("jobs", b"")
                claim = await taquba_queue.claim("jobs")
                await taquba_queue.nack(claim, "no")
                return (await taquba_queue.dead_jobs("jobs")).jobs

            assert len(asyncio.run(fail_once())) == 1
            assert taquba_store.request_count() > 0
        """
    )

    run(pytester).assert_outcomes(passed=1)


async def test_the_fixtures_are_those_of_this_test(
    taquba_queue: Queue, taquba_clock: VirtualClock
) -> None:
    async def runner(step: Step) -> StepOutcome:
        if step.step_number == 0:
            return StepOutcome.ContinueAfter(b"", 3_600)
        return StepOutcome.Succeed(b"")

    async with WorkflowRuntime(taquba_queue, runner) as runtime:
        handle = await runtime.submit(RunSpec(b""))
        await taquba_clock.advance(3_600)

        assert (await handle.status()).state.is_terminal


async def test_without_the_clock_time_is_the_machines(
    taquba_queue: Queue, taquba_options: OpenOptions
) -> None:
    job_id = await taquba_queue.enqueue("jobs", b"")

    assert not isinstance(taquba_options.clock, MockClock)
    assert (await taquba_queue.get_job(job_id)).enqueued_at.year < 2030
