"""Guards around every test: log calls that can't be formatted, tasks and threads left behind, seeds that are told."""

import asyncio
import logging
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

OURS = ("gateway", "drivers")
PATIENCE_S = 5.0
"""How long what is ending anyway may take to end. A leak costs this much, a clean test nothing."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts its background jobs deaf to Ctrl-C; processes the tests start would be, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SEED = int(os.environ["SEED"]) if os.environ.get("SEED") else random.SystemRandom().randrange(1_000_000)

# In CI the same examples each time, so that a commit is judged by what it changed; EXAMPLES=2000 hunts for new ones.
hypothesis.settings.register_profile(
    "gateway",
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    print_blob=True,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("gateway")


def pytest_report_header() -> str:
    return f"seed: {SEED} (again with SEED={SEED}); hypothesis prints a blob for what it finds"


@pytest.fixture
def seed() -> int:
    """The run's seed, shown in the head of the report."""
    return SEED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Whoever uses the module `random` gets the same numbers again with the same seed."""
    random.seed(SEED)


class _Formatting(logging.Handler):
    """Formats every record, debug ones too, and keeps what went wrong: the caller may have swallowed it."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.getMessage()
        except Exception as error:
            self.problems.append(f"{record.pathname}:{record.lineno}: {record.msg!r} with {record.args!r}: {error}")


@pytest.fixture(autouse=True)
def _log_calls_can_be_formatted() -> Iterator[None]:
    """Also puts the root logger back: the command line sets it up anew."""
    guard, root = _Formatting(), logging.getLogger()
    root_handlers, root_level = list(root.handlers), root.level
    loggers = [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(guard)
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(guard)
        logger.setLevel(level)
    for handler in set(root.handlers).difference(root_handlers):
        root.removeHandler(handler)
    root.setLevel(root_level)
    assert not guard.problems, "badly formatted log calls:\n" + "\n".join(guard.problems)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
    left = sorted(thread.name for thread in set(threading.enumerate()) - before)
    assert not left, f"threads left behind: {left}"


@pytest.fixture(autouse=True)
def _no_task_is_left(monkeypatch: pytest.MonkeyPatch, _no_thread_is_left: None) -> Iterator[None]:
    """Every loop of a test, pytest's own or one of its own, is looked at when its Runner closes it.

    The Runner cancels what is left without a word, so it is asked right before it does.
    """
    left: list[str] = []
    cancel_all: Any = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]  # no public place to ask

    def look_then_cancel(loop: asyncio.AbstractEventLoop) -> None:
        tasks = {task for task in asyncio.all_tasks(loop) if not task.done()}
        if tasks:
            _, tasks = loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE_S))
        left.extend(sorted(repr(task) for task in tasks))
        cancel_all(loop)

    monkeypatch.setattr(asyncio.runners, "_cancel_all_tasks", look_then_cancel)
    yield
    monkeypatch.undo()
    assert not left, "tasks left behind:\n" + "\n".join(left)
