"""Iterators that work ahead in threads of their own: how the stages of a video overlap."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar('T')

_END = object()
_POLL_SECONDS = 0.1


def prefetch(items: Iterable[T], *, ahead: int = 4) -> Generator[T]:
    """Yields what `items` yields, computed in another thread.

    The stages of a pipeline are plain generators; each that is wrapped in this runs beside the
    others. What they call releases the GIL for most of its time: decoding, MediaPipe, OpenCV, XLA.
    An exception of `items` is raised here, in its place. Closing this generator ends the thread
    and, in the thread, closes `items` if that is a generator.

    Args:
      items: read by the thread alone.
      ahead: items that may wait to be taken.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=ahead)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _produce(items: Iterable[Any], ready: queue.Queue, stop: threading.Event) -> None:
    # Whatever it is, it belongs into the thread that takes the items.
    try:
        for item in items:
            if not _put(ready, (item, None), stop):
                break
        _close(items)
    except BaseException as error:
        _put(ready, (None, error), stop)
    else:
        _put(ready, (_END, None), stop)


def _put(
    ready: queue.Queue, entry: tuple[Any, BaseException | None], stop: threading.Event
) -> bool:
    """Waits for a free place; False if nobody will take any more."""
    while not stop.is_set():
        try:
            ready.put(entry, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


def _close(items: Iterable[Any]) -> None:
    close = getattr(items, 'close', None)
    if close is not None:
        close()
