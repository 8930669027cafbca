"""Settling with effects: what a worker or a hook returned, in the commit that ends its delivery."""

from taquba._delivery._dispatcher import Work
from taquba._port import Port
from taquba.exceptions import ClaimLostError, Recovery, TaqubaError
from taquba.queue import Effects
from taquba.queue._effects import staged

__all__ = ["ack_with"]


async def ack_with(port: Port, work: Work, effects: Effects) -> bool:
    """Settle a delivery as done, and apply effects in the same commit.

    Durable: when this returns `True`, both are in the object store.

    Args:
        port: The loop's door to the engine.
        work: The delivery.
        effects: What else happens.

    Returns:
        Whether the delivery was still this one's to settle. If the store is lost it is `True`:
        whoever works on the queue is told of that, and it is not the delivery's fault.

    Raises:
        TaqubaError: The effects are refused; nothing changed.
    """
    try:
        # As `Queue.ack_with` does: memory does not grow with effects that wait.
        await port.room()
        await port.call(port.native.ack, work, staged(effects))
    except ClaimLostError:
        return False
    except TaqubaError as error:
        if error.recovery is Recovery.FIX_INPUT:
            raise
    return True
