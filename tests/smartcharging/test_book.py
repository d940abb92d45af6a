"""What a connector may hold, as writes are sent, lost, answered late, refused and outlived."""

from gateway.model.balance import Answer, Outcome
from gateway.smartcharging.book import ANSWER_S, Book, Sent, is_pending, most_a, set_a, set_phases, settle
from tests.smartcharging.rig import key

LATENCY_S = 5.0


def sent(sequence: int, amps: float, at: float, ends: float | None = None, phases: int = 3) -> Sent:
    return Sent(sequence, amps, phases, at, ends)


def after(book: Book, now: float, *answers: tuple[int, Answer], proven: bool = True) -> Book:
    outcomes = [Outcome(key(1), sequence, answer, now) for sequence, answer in answers]
    return settle(book, outcomes, now=now, latency_s=LATENCY_S, proven=proven)


def test_a_step_down_replaces_what_was_before_once_it_is_accepted_and_past_the_latency() -> None:
    book = after((sent(1, 32.0, 0.0), sent(2, 6.0, 10.0)), 11.0, (2, Answer.ACCEPTED))
    assert (most_a(book), set_a(book, 6.0)) == (32.0, 6.0)
    assert most_a(after(book, 15.9)) == 32.0
    assert most_a(after(book, 16.0)) == 6.0


def test_without_an_answer_the_highest_holds() -> None:
    book = after((sent(1, 32.0, 0.0), sent(2, 6.0, 10.0), sent(3, 10.0, 50.0)), 100.0, proven=False)
    assert most_a(book) == 32.0
    assert not is_pending(book)
    assert is_pending(after((sent(1, 32.0, 0.0),), ANSWER_S - 1))


def test_answers_in_any_order_leave_the_newest() -> None:
    book: Book = (sent(1, 32.0, 0.0), sent(2, 6.0, 10.0), sent(3, 10.0, 12.0))
    book = after(book, 13.0, (3, Answer.ACCEPTED))
    book = after(book, 14.0, (1, Answer.ACCEPTED), (2, Answer.UNKNOWN))
    assert [one.sequence for one in after(book, 18.0)] == [3]


def test_what_was_refused_or_never_sent_is_not_held_and_what_was_before_is() -> None:
    book: Book = (sent(1, 8.0, 0.0), sent(2, 16.0, 10.0), sent(3, 32.0, 20.0))
    book = after(book, 21.0, (3, Answer.NOT_SENT), (2, Answer.REJECTED))
    assert (most_a(book), set_a(book, 6.0)) == (8.0, 8.0)


def test_a_lease_ends_by_itself_for_a_proven_station_only() -> None:
    book: Book = (sent(1, 32.0, 0.0, ends=315.0),)
    assert most_a(after(book, 314.0)) == 32.0
    assert after(book, 315.0) == ()
    assert most_a(after(book, 999.0, proven=False)) == 32.0


def test_an_answer_to_a_write_that_is_gone_changes_nothing() -> None:
    book: Book = (sent(5, 8.0, 0.0),)
    assert after(book, 1.0, (4, Answer.REJECTED)) == book


def test_phases_count_each_for_itself() -> None:
    book: Book = (sent(1, 10.0, 0.0), sent(2, 16.0, 5.0, phases=1))
    assert [most_a(book, own) for own in range(3)] == [16.0, 10.0, 10.0]
    assert set_phases(book, 3) == 1
    assert (set_a((), 6.0), set_phases((), 3), most_a(())) == (6.0, 3, 0.0)
