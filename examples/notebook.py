"""Without `asyncio`: the cells of a notebook, a script, a Flask view.

The names are the same as everywhere; each call blocks until what it promises is durable.

    python examples/notebook.py
"""

import threading

from taquba import Claim, Effects, EnqueueOptions, sync

# One cell.
queue = sync.Queue.open("memory://")  # a directory keeps it for tomorrow
queue.enqueue_batch("photos", [b"%d.png" % number for number in range(1, 4)])
queue.enqueue("photos", b"notes.txt", EnqueueOptions(priority=1))

# Another one: a job by hand.
if claim := queue.claim("photos"):
    print("first by priority:", claim.payload.decode())
    queue.dead_letter(claim, "not a picture")

# A third one: a function that is called in threads, until `stop` is set, or Ctrl-C.
stop = threading.Event()


def resize(job: Claim) -> Effects:
    """Blocks as long as it likes; what it returns is in the commit that says that it is done."""
    if job.payload == b"3.png":
        stop.set()
    return Effects().kv_put(f"small/{job.payload.decode()}", b"...")


sync.run_worker(queue, "photos", resize, concurrency=1, shutdown=stop)

# And a look at what became of it.
counts = queue.stats().queues["photos"]
print(f"{counts.acked_total} done, {counts.dead_count} dead")
print([key for key, _ in queue.kv_scan("small/").entries])
queue.close()

# Output:
#
# first by priority: notes.txt
# 3 done, 1 dead
# ['small/1.png', 'small/2.png', 'small/3.png']
