"""The live view in a terminal: progress, plate, last decisions and why, faults, keys. The caller's thread draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from phenoloop.model import Message
from phenoloop.platform import RawKeys
from phenoloop.ports import Question
from phenoloop.watch import asking
from phenoloop.watch.console_plate import draw_plate
from phenoloop.watch.decision_line import summary
from phenoloop.watch.feed import Feed, Watched
from phenoloop.watch.keys import KeyReader
from phenoloop.watch.plain import PlainView, View, encodable
from phenoloop.watch.verdict import count, duration, number

ASKED_SHOWN: Final = 6
DECISIONS_SHOWN: Final = 5
FAULTS_SHOWN: Final = 3
SHOW_CURSOR: Final = "\x1b[?25h\n"
STOPPED_BY_KEY: Final = "stopped by a key"


def open_view(stream: TextIO, *, keys: bool = True) -> View:
    """Return the live view where `stream` is a terminal, else plain lines.

    Parameters
    ----------
    stream : text file
        Where to draw: standard output, or standard error when that is kept for JSON.
    keys : bool
        Listen to keys where standard input is a terminal.
    """
    console = Console(file=stream)
    return LiveView(console, keys=keys) if console.is_terminal and not console.is_dumb_terminal else PlainView(stream)


class LiveView:
    """A view that is drawn again and again in place.

    Parameters
    ----------
    console : rich.console.Console
        On a terminal.
    keys : bool
        Listen to keys: ``p`` pause or go on, ``q`` or ``s`` stop, ``y`` and ``n`` answer a batch that waits.
    """

    def __init__(self, console: Console, *, keys: bool = True) -> None:
        self._console = console
        self._listen = keys
        self._run: Watched | None = None
        self._feed: Feed | None = None
        self._keys: KeyReader | None = None
        self._live: Live | None = None
        self._stopping = False

    @property
    def attended(self) -> bool:
        """Whether a person can answer here: standard input is a terminal too."""
        return self._listen and RawKeys().available

    def attach(self, run: Watched, *, question: Question | None = None, history: Sequence[Message] = ()) -> None:
        """Begin to watch a run and take over the terminal."""
        self._run, self._feed = run, Feed(run, history, question=question)
        if self._listen:
            self._keys = KeyReader()
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        self.refresh()

    def refresh(self) -> None:
        """Act on keys, then draw."""
        if self._live is None or self._feed is None:
            return
        for key in self._keys.take() if self._keys else ():
            self._press(key)
        self._live.update(self.draw(), refresh=True)

    def close(self) -> None:
        """Leave the last picture on the screen and give keys and cursor back."""
        if self._keys is not None:
            self._keys.close()
        if self._live is not None and self._feed is not None:
            self._live.update(self.draw(), refresh=True)
            self._live.stop()
            self._live = None

    def abandon(self) -> None:
        """Give keys and cursor back and draw nothing."""
        if self._keys is not None:
            self._keys.restore()
        if self._live is not None:
            self._console.file.write(SHOW_CURSOR)
            self._console.file.flush()

    def _press(self, key: str) -> None:
        if self._run is None or self._feed is None or self._feed.finished:
            return
        if key in "pP":
            if self._feed.paused:
                self._run.resume()
            else:
                self._run.pause()
        elif key.lower() in asking.KEYS and self._feed.question is not None:
            self._run.answer(asking.KEYS[key.lower()])
        elif key in "qQsS" and not self._stopping:
            self._stopping = True
            self._run.stop(STOPPED_BY_KEY)

    # -- drawing ----------------------------------------------------------------------------------------------------

    def draw(self) -> RenderableType:
        """Return the whole view."""
        feed = self._feed
        assert feed is not None
        with feed.lock:
            plate = draw_plate(self._console, feed, None if self._run is None else self._run.setup)
            said = self._said(feed)
            head, bars, asked = self._head(feed), self._bars(feed), self._asked(feed)
        if plate is None:
            body: RenderableType = said
        elif self._wide:
            grid = Table.grid(padding=(0, 3), expand=True)
            grid.add_column(no_wrap=True)
            grid.add_column(ratio=1)
            grid.add_row(plate, said)
            body = grid
        else:
            body = Group(plate, Text(), said)
        return Group(head, bars, Text(), *asked, body, Text(), self._foot(feed))

    def _text(self, text: str, style: str | Style = "") -> Text:
        return Text(encodable(text, self._console.encoding), style=style)

    def _head(self, feed: Feed) -> Text:
        ended = feed.finished
        if ended is not None:
            state, style = ended.exit, "bold green" if ended.exit in ("completed", "budget") else "bold red"
        elif self._stopping:
            state, style = "stopping: closing the data", "bold yellow"
        elif feed.paused:
            state, style = "paused", "bold yellow"
        elif feed.question is not None:
            state, style = "waiting for you", "bold yellow"
        else:
            state, style = "running", "bold"
        left = feed.left_s()
        parts = [
            self._text(feed.tally.plan.name, "bold"),
            self._text(state, style),
            self._text(f"{duration(int(feed.elapsed_s))} elapsed"),
        ]
        if left is not None and ended is None:
            parts.append(self._text(f"at most {duration(left)} left"))
        return Text("   ").join(parts)

    def _bars(self, feed: Feed) -> Table:
        tally, limits = feed.tally, feed.tally.plan.limits
        rows: list[tuple[str, float, float, str]] = []
        goal = feed.goal_frames()
        about = "budget" if limits.frames is not None and limits.frames <= tally.possible else "possible"
        rows.append(("images", tally.listed, goal, f"{tally.listed} of {goal} {about}, {tally.visits_ended} visits"))
        seen = sum(1 for well in tally.wells.values() if well.frames)
        rows.append(("wells", seen, len(tally.wells), f"{seen} of {len(tally.wells)} seen"))
        if limits.duration_s is not None:
            shown = f"{duration(tally.at_s)} of {duration(limits.duration_s)}"
            rows.append(("run clock", tally.at_s, limits.duration_s, shown))
        rows += self._spent(feed)
        table = Table.grid(padding=(0, 2))
        for name, done, total, shown in rows:
            bar = ProgressBar(total=max(total, 1e-9), completed=min(done, total), width=28)
            table.add_row(self._text(name, "dim"), bar, self._text(shown))
        return table

    def _spent(self, feed: Feed) -> list[tuple[str, float, float, str]]:
        """Return the bars of the budgets of light and of objective changes that the protocol sets."""
        titles = {
            "light_s": "light per field",
            "light_object_s": "light per object",
            "objective_changes": "objectives/h",
        }
        budget = feed.tally.budget()
        rows = []
        for name, title in titles.items():
            entry = budget.get(name)
            if entry is None or entry["limit"] is None:
                continue
            used, limit = entry["used"] or 0.0, entry["limit"]
            said = f"{number(used)} of {number(limit)}" + ("" if name == "objective_changes" else " s at most")
            rows.append((title, used, limit, said))
        return rows

    def _asked(self, feed: Feed) -> list[RenderableType]:
        """Return the panel of a batch that waits for a person: what, why, which keys, what happens otherwise."""
        question = feed.question
        if question is None:
            return []
        lines: list[RenderableType] = []
        for line in question.lines(most=ASKED_SHOWN):
            text = self._text(line)
            text.truncate(max(60, 2 * self._console.width), overflow="crop")
            lines.append(text)
        hints = asking.keys_said() if self._keys is not None and self._keys.available else ()
        lines.append(self._text("   ".join([*hints, *filter(None, [question.default()])]), "bold"))
        return [
            Panel(
                Group(*lines), title=self._text(question.head, "bold yellow"), title_align="left", border_style="yellow"
            )
        ]

    def _said(self, feed: Feed) -> RenderableType:
        decisions = Table.grid(padding=(0, 1))
        decisions.add_column(justify="right", style="dim")
        decisions.add_column(justify="right", style="dim", no_wrap=True)
        decisions.add_column()
        for decided in list(feed.decisions)[-self._room(feed) :]:
            text = self._text(summary(decided), "yellow" if decided.error else "")
            text.truncate(max(60, 2 * self._console.width), overflow="crop")
            decisions.add_row(str(decided.decision), duration(decided.at_s), text)
        lines: list[RenderableType] = [self._text("Last decisions", "bold"), decisions]
        if not feed.decisions:
            lines.append(self._text("none yet", "dim"))
        if feed.tally.faults or feed.faults:
            lines.append(self._text(f"Faults ({len(feed.tally.faults)})", "bold"))
            last = list(feed.faults)[-FAULTS_SHOWN:]
            lines += [self._text(f"{found.call}, attempt {found.attempt}: {found.message}", "yellow") for found in last]
        if feed.tally.missing:
            lines.append(self._text(f"{count(len(feed.tally.missing), 'frame')} missing", "yellow"))
        return Group(*lines)

    def _room(self, feed: Feed) -> int:
        """Return how many decisions fit, three lines each, so that the keys below stay on the screen."""
        asked = 4 + min(ASKED_SHOWN, len(feed.question.about)) if feed.question is not None else 0
        taken = (
            asked + len(self._spent(feed)) + 14
            if self._wide
            else asked + 16 + len({well.row for well in feed.tally.plan.wells})
        )
        return max(1, min(DECISIONS_SHOWN, (self._console.height - taken) // 3))

    @property
    def _wide(self) -> bool:
        return self._console.width >= 90

    def _foot(self, feed: Feed) -> Text:
        if feed.finished is not None:
            return Text()
        hints = []
        if self._keys is not None and self._keys.available:
            hints = [f"p {'go on' if feed.paused else 'pause'}", "q stop"]
        return self._text("   ".join([*hints, "Ctrl-C stop"]), "dim")
