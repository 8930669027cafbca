"""A store whose every text was written by somebody who wishes us ill."""

import contextlib
from collections.abc import AsyncIterator

from taquba import (
    EnqueueOptions,
    Queue,
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    WorkflowRuntime,
)
from taquba.store import MemoryStore

MARKUP = [
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href='javascript:window.hit=1'>open</a>",
    "javascript:window.hit=1",
    '"><script>window.hit=1</script>',
    "' onmouseover='window.hit=1",
    '" autofocus onfocus="window.hit=1',
    "</textarea><script>window.hit=1</script>",
    "</title><script>window.hit=1</script>",
    "</script><script>window.hit=1</script>",
    '<!--<img src="--><img src=x onerror=window.hit=1>',
    "<style>@import 'http://192.0.2.1/x.css';</style>",
    "<link rel=stylesheet href=http://192.0.2.1/x.css>",
    "<base href=http://192.0.2.1/>",
    "<meta http-equiv=refresh content=0;url=http://192.0.2.1/>",
    "<form action=http://192.0.2.1/><input name=q autofocus></form>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=window.hit=1>",
    "<details open ontoggle=window.hit=1>",
    "<object data=javascript:window.hit=1></object>",
    "<template><img src=x onerror=window.hit=1></template>",
    "${window.hit=1}{{constructor.constructor('window.hit=1')()}}",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "`<b>bold</b>`",
    "__proto__",
]
"""Shown character by character, or it is a bug."""

UNSEEN = {
    "a\u202etxt.exe": "a\\u202etxt.exe",
    "zero\u200bwidth": "zero\\u200bwidth",
    "bell\u0007": "bell\\u0007",
    "isolate\u2066d": "isolate\\u2066d",
}
"""Texts with characters that nobody sees, and how they are shown."""

QUEUE = "hostile"
RUN = "constructor"


async def fail(step: Step) -> StepOutcome:
    """Fail with a text of theirs."""
    raise StepError.permanent("\n".join(MARKUP))


@contextlib.asynccontextmanager
async def hostile_queue() -> AsyncIterator[tuple[Queue, WorkflowRuntime]]:
    """Open a store in memory, with such texts wherever a text can be; its runtime only submits."""
    texts = [*MARKUP, *UNSEEN]
    headers = {f"{number} {text}": text for number, text in enumerate(texts)}
    async with await Queue.open(MemoryStore()) as queue:
        options = EnqueueOptions(headers=headers, dedup_key=MARKUP[0])
        await queue.enqueue(QUEUE, "\n".join(texts).encode(), options)
        for text in texts:
            await queue.enqueue(QUEUE, text.encode(), EnqueueOptions(dedup_key=f"key {text}"))
            await queue.kv_put(text, text.encode())
        for claim in await queue.claim_batch(QUEUE, len(texts) // 2, lease=60.0):
            await queue.dead_letter(claim, claim.payload.decode())
        async with WorkflowRuntime(queue, fail) as runtime:
            handle = await runtime.submit(RunSpec(b"", run_id=RUN, headers=headers))
            await handle.outcome(timeout=20)
        yield queue, runtime
