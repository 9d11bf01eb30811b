from __future__ import annotations

import threading

import pytest

from mocap.latest import Closed, Latest


def test_newest_item_wins_and_the_others_are_counted() -> None:
    latest: Latest[int] = Latest()
    for item in range(5):
        latest.put(item)
    assert latest.get(0) == 4
    assert latest.dropped == 4
    assert latest.get(0) is None
    latest.put(5)
    assert latest.get(0) == 5
    assert latest.dropped == 4


def test_get_waits_for_an_item() -> None:
    latest: Latest[str] = Latest()
    threading.Timer(0.05, latest.put, ["late"]).start()
    assert latest.get(10) == "late"


def test_close_gives_what_is_left_and_then_ends() -> None:
    latest: Latest[int] = Latest()
    latest.put(1)
    latest.close()
    latest.put(2)  # too late: nobody takes it
    assert latest.get(0) == 1
    for _ in range(2):
        with pytest.raises(Closed):
            latest.get(0)


def test_close_wakes_a_waiting_consumer() -> None:
    latest: Latest[int] = Latest()
    threading.Timer(0.05, latest.close).start()
    with pytest.raises(Closed):
        latest.get(60)


def test_the_producers_error_is_raised_in_the_consumer() -> None:
    latest: Latest[int] = Latest()

    def produce() -> None:
        latest.put(1)
        try:
            raise OSError("camera on fire")
        except OSError as error:
            latest.close(error)

    thread = threading.Thread(target=produce)
    thread.start()
    thread.join()
    latest.close()  # the first call counts
    assert latest.get(0) == 1
    with pytest.raises(OSError, match="camera on fire"):
        latest.get(0)


def test_nothing_is_lost_uncounted_between_threads() -> None:
    latest: Latest[int] = Latest()
    taken: list[int] = []

    def consume() -> None:
        try:
            while True:
                item = latest.get(1)
                if item is not None:
                    taken.append(item)
        except Closed:
            pass

    consumer = threading.Thread(target=consume)
    consumer.start()
    for item in range(20_000):
        latest.put(item)
    latest.close()
    consumer.join()
    assert taken == sorted(set(taken))
    assert taken[-1] == 19_999
    assert len(taken) + latest.dropped == 20_000
