"""docs/meters.md and README.md name the meters that there are.

`python -m tests.drivers.test_meter_list` prints the lines as they have to stand in the document.
"""

from collections.abc import Iterator
from pathlib import Path

from drivers import model_file
from drivers.model_file import MeterModel
from drivers.options import Places

ROOT = Path(__file__).parents[2]


def lines() -> list[str]:
    return [*_known(), "", *_refused()]


def _known() -> Iterator[str]:
    yield "| model | meter | line | verified | known from |"
    yield "|---|---|---|---|---|"
    for path in sorted(model_file.files(Places()).values()):
        model = model_file.load(path)
        verified = "yes" if model.verified else "no"
        yield f"| `{model.id}` | {model.name} | {_line(model)} | {verified} | {', '.join(model.sources)} |"


def _line(model: MeterModel) -> str:
    serial = model.modbus.serial
    names = {"serial": f"{serial.baud} 8{serial.parity}{serial.stop}", "tcp": "TCP", "udp": "UDP"}
    return " or ".join(names[way] for way in model.modbus.transports)


def _refused() -> Iterator[str]:
    yield "| cannot be used | why | instead |"
    yield "|---|---|---|"
    for one in model_file.refusals().values():
        yield f"| {one.name} | {one.problem} | {one.remedy} |"


def test_the_document_lists_every_model_as_its_file_says() -> None:
    tables = [line for line in (ROOT / "docs" / "meters.md").read_text("utf-8").splitlines() if line.startswith("|")]
    assert tables == [line for line in lines() if line]


def test_the_readme_counts_them() -> None:
    assert f"[{len(model_file.files(Places()))} models](docs/meters.md)" in (ROOT / "README.md").read_text("utf-8")


if __name__ == "__main__":
    print("\n".join(lines()))
