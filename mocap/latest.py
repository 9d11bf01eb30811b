"""One-slot hand-off between two threads: the newest item wins, and what it replaces is counted as dropped."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The producer has ended and nothing is left in the slot."""


class Latest(Generic[T]):
    """A slot that holds at most the newest item.

    A queue lets a slow consumer see ever older frames; here it always sees the newest one. ``put`` never blocks, so a
    producer cannot hang a shutdown.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._error: BaseException | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many items were replaced before anybody took them."""
        return self._dropped

    def put(self, item: T) -> None:
        """Hands over ``item``; an item still in the slot is dropped. After ``close`` it does nothing."""
        with self._changed:
            if self._closed:
                return
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._changed.notify()

    def get(self, timeout_s: float | None = None) -> T | None:
        """Takes the newest item; waits for it up to ``timeout_s``.

        Returns:
            The item, or None when nothing came in time.

        Raises:
            Closed: The producer closed the slot and it is empty.
            BaseException: The error that the producer closed the slot with, once the last item is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None, timeout_s)
            item, self._item = self._item, None
            if item is not None:
                return item
            if self._error is not None:
                raise self._error
            if self._closed:
                raise Closed
            return None

    def close(self, error: BaseException | None = None) -> None:
        """Ends the hand-off and wakes the consumer, who gets what is left and then ``error``. The first call counts."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()
