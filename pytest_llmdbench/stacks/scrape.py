"""Reads the metrics of a stack's servers while a load runs, in a thread of its own that ends with the load."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.exposition import MOST_SERIES, ExpositionError, Samples, parse
from pytest_llmdbench.results.server_metrics.names import PROCESS_START, sample_names
from pytest_llmdbench.results.server_metrics.scraped import Look, Scrape
from pytest_llmdbench.results.server_metrics.so_far import histograms
from pytest_llmdbench.results.server_metrics.summary import Watched, summary
from pytest_llmdbench.results.server_metrics.window import Window

#: The folder in a case's own with what targets said first and last, as they said it.
RAW: Final = "server"
#: Seconds that a round which is under way gets to end when the load is over.
_PATIENCE_S: Final = 30.0
_WANTED: Final = sample_names()


class Scraping:
    """The metrics of one stack from the time when this is made until :meth:`end`. Nothing of it raises.

    The first round is over when this is made, and the last is made by :meth:`end`: what servers count for the load
    lies between the two. In between there is one every ``interval_s`` seconds, or at the next such time where one took
    longer. What targets said first and last goes into ``folder``.
    """

    def __init__(self, look: Look, interval_s: float, folder: Path) -> None:
        self._look = look
        self._interval_s = interval_s
        self._folder = folder
        self._over = threading.Event()
        self._taking = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._first: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._restarts: dict[str, int] = {}
        self._rounds = 0
        #: Whether everybody that is there was found once: who is found later came up later.
        self._seen = False
        self._told = False
        self._cpu_s = 0.0
        self._trouble: str | None = None
        self._round()
        self._thread = threading.Thread(target=self._run, name="scrape", daemon=True)
        self._thread.start()

    def end(self) -> dict[str, Any]:
        """Look once more, and give all that was seen: :func:`~pytest_llmdbench.results.server_metrics.summary.summary`.

        ``rounds`` are how often all targets were asked, ``cpu_s`` the processor's seconds which that took here, and
        ``error`` is there where a whole round failed.
        """
        self.abandon()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._trouble = f"the last round did not end within {_PATIENCE_S:.0f} s"
        else:
            self._round()
        with self._taking:
            self._told = True
            self._keep()
            told = {**summary(list(self._watched.values()), self._interval_s), "rounds": self._rounds}
            told["cpu_s"] = round(self._cpu_s, 4)
            return {**told, "error": self._trouble} if self._trouble is not None else told

    def so_far(self) -> dict[str, Any]:
        """What servers have counted of single requests' times until the last round; asks nobody."""
        with self._taking:
            return histograms(self._watched.values())

    def abandon(self) -> None:
        """Look no more; returns at once. Safe to call twice."""
        self._over.set()

    def _run(self) -> None:
        began, number = time.monotonic(), 1
        while not self._over.wait(began + number * self._interval_s - time.monotonic()):
            self._round()
            number = max(number + 1, int((time.monotonic() - began) / self._interval_s) + 1)

    def _round(self) -> None:
        cpu = time.thread_time()
        scrapes: Sequence[Scrape] = ()
        try:
            scrapes = self._look()
        except Exception as error:  # whatever it is, it must not end a load
            self._trouble = str(error) or repr(error)
        with self._taking:
            if self._told:  # too late
                return
            for scrape in scrapes:
                self._take(scrape)
            self._seen = self._seen or bool(scrapes)
            self._rounds += 1
            self._cpu_s += time.thread_time() - cpu

    def _take(self, scrape: Scrape) -> None:
        label = scrape.target.label
        if label not in self._watched:
            self._watched[label] = Watched(scrape.target, Window(fresh=self._seen))
        one = self._watched[label]
        if scrape.restarts is not None:
            before = self._restarts.setdefault(label, 0 if one.window.fresh else scrape.restarts)
            one.restarts = max(one.restarts, scrape.restarts - before)
        text, error = scrape.text, scrape.error
        samples: Samples = {}
        try:
            samples = parse(text, _WANTED) if text is not None else {}
        except ExpositionError as unread:
            error = str(unread)
        if error is None and not samples.keys() - {PROCESS_START}:
            error = "it answers, but none of its metrics is known"
        if error is None and one.window.known > MOST_SERIES:
            error = f"it has had more than {MOST_SERIES} series"
        if text is None or error is not None:
            one.failed += 1
            one.error = error
            return
        one.window.add(self._rounds, scrape.at, samples)
        self._first.setdefault(label, text)
        self._last[label] = text

    def _keep(self) -> None:
        """Write what targets said first and last."""
        try:
            for when, texts in (("first", self._first), ("last", self._last)):
                for label, text in texts.items():
                    folder = self._folder / RAW
                    folder.mkdir(parents=True, exist_ok=True)
                    name = re.sub(r"[^\w.-]+", "_", label)[:200]
                    (folder / f"{name}.{when}.prom.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        except OSError as error:
            self._trouble = f"what servers said could not be written: {error}"
