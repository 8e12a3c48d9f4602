import itertools
import threading
import time

import pytest

from apgan_jax.inference.prefetch import prefetch


def test_items_come_in_order():
    assert list(prefetch(range(100), ahead=3)) == list(range(100))


def test_it_works_ahead_but_not_far():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    taken = prefetch(items(), ahead=3)
    assert next(taken) == 0
    time.sleep(0.2)
    # Three wait, one more is in the producer's hand.
    assert 3 <= len(made) <= 5
    taken.close()


def test_it_runs_in_another_thread():
    threads = list(prefetch(threading.get_ident() for _ in range(2)))
    assert threading.get_ident() not in threads


def test_an_exception_comes_in_its_place():
    def items():
        yield 1
        raise KeyError('two')

    taken = prefetch(items())
    assert next(taken) == 1
    with pytest.raises(KeyError, match='two'):
        next(taken)


def test_closing_ends_the_thread_and_closes_the_items():
    closed = threading.Event()

    def items():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    before = threading.active_count()
    taken = prefetch(items(), ahead=2)
    assert next(taken) == 0
    taken.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_stages_end_together_when_the_last_one_is_closed():
    before = threading.active_count()
    stage = prefetch(itertools.count())
    for _ in range(3):
        stage = prefetch((number + 1 for number in stage), ahead=2)
    assert [next(stage) for _ in range(5)] == [3, 4, 5, 6, 7]
    stage.close()
    assert threading.active_count() == before
