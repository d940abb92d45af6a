"""What the demo shows: a live table on a terminal, lines elsewhere, nothing for --json."""

from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.demo.history import utc_now
from gateway.demo.station import SimulatedStation

LINE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class StationView:
    """One row. `session` is the time a transaction has run; `waiting` the station's own unacknowledged messages."""

    identity: str
    version: str
    status: str
    power_w: float
    energy_wh: float
    session: str
    waiting: int
    queue: int | None
    uplink: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything at one moment. `phase` is a sentence; `queue` what the gateway still has to deliver."""

    elapsed_s: float
    phase: str
    stations: tuple[StationView, ...]
    queue: int | None


class Screen(Protocol):
    def say(self, text: str) -> None:
        """A line that stays."""

    def show(self, view: View) -> None:
        """The present state; called about twice a second."""

    def close(self) -> None: ...


class NoScreen:
    def say(self, text: str) -> None:
        pass

    def show(self, view: View) -> None:
        pass

    def close(self) -> None:
        pass


class LineScreen:
    """A line at each change of phase and every 5 seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = -LINE_EVERY_S

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, view: View) -> None:
        if view.elapsed_s - self._shown_at < LINE_EVERY_S:
            return
        self._shown_at = view.elapsed_s
        charging = sum(station.power_w > 0 for station in view.stations)
        power_kw = sum(station.power_w for station in view.stations) / 1000
        queue = "?" if view.queue is None else view.queue
        text = f"{view.elapsed_s:5.0f} s  {view.phase}; {charging} charging, {power_kw:.1f} kW; queue {queue}"
        self.say(text)

    def close(self) -> None:
        pass


class LiveScreen:
    """A table that is drawn over and over."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, view: View) -> None:
        self._live.update(draw(view), refresh=True)

    def close(self) -> None:
        self._live.stop()


def draw(view: View) -> Group:
    """The phase and the table, within 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("station", "OCPP", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("power", "energy", "session", "unacked", "queue"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("uplink", no_wrap=True)
    for one in view.stations:
        table.add_row(
            one.identity,
            one.version,
            one.status,
            f"{one.power_w / 1000:.1f} kW",
            f"{one.energy_wh / 1000:.2f} kWh",
            one.session,
            str(one.waiting),
            "?" if one.queue is None else str(one.queue),
            Text(one.uplink, style="green" if one.uplink == "up" else "yellow"),
        )
    phase = Text(f"{view.elapsed_s:.0f} s  {view.phase}", style="bold red" if "cut" in view.phase else "bold")
    legend = Text("unacked: messages the station still holds; queue: the gateway's, for the CSMS", style="dim")
    return Group(phase, table, legend)


def view_station(one: SimulatedStation, of_gateway: dict[str, Any] | None) -> StationView:
    """A row from a station and from what the gateway says about it."""
    running = one.running
    return StationView(
        identity=one.identity,
        version=one.version,
        status=one.status() if one.is_connected else "not connected",
        power_w=one.power_w,
        energy_wh=sum(connector.energy_wh for connector in one.connectors.values()),
        session=f"{(utc_now() - running[0].started).total_seconds():.0f} s" if running else "",
        waiting=one.queue_length,
        queue=of_gateway["queue"] if of_gateway else None,
        uplink=of_gateway["uplink"] if of_gateway else "?",
    )
