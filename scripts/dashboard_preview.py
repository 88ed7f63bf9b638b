#!/usr/bin/env python3
"""Draw docs/grafana.png: the dashboard's own expressions, answered by a real Prometheus over a made-up night.

Grafana is not asked: this shows which panels there are and what stands in them, not how Grafana paints. The night is
invented, but told to the real instruments; Prometheus (scripts/prometheus.sh) reads what they would have served.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made_up_night import HOURS, LABELS, Night
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from daemon.ledger import Ledger

REPOSITORY = Path(__file__).resolve().parents[1]
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dashboards" / "autoresearch.json"
PICTURE = REPOSITORY / "docs" / "grafana.png"
WIDTH_INCHES, ROW_INCHES, DPI = 14.0, 0.27, 78
INK, DIM = "#24292f", "#6e7781"
COLOURS = ["#1a7f37", "#0969da", "#b35900", "#8250df", "#cf222e", "#6e7781", "#bf8700"]


@contextmanager
def prometheus(folder: Path, openmetrics: str) -> Iterator[str]:
    """Its address; it knows what the text says."""
    tools = os.environ["PATH"] + f":{REPOSITORY}/build/prometheus/usr/bin"
    (folder / "night.om").write_text(openmetrics)
    (folder / "prometheus.yml").write_text("global: {}\n")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "night.om", "data"]
    environment = {**os.environ, "PATH": tools}
    subprocess.run(blocks, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
               f"--web.listen-address={address}", "--storage.tsdb.retention.time=30d", "--log.level=error"]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(20)


def lines(address: str, target: dict[str, Any], end: float) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    """What one expression gives over the night: labels and points."""
    expression = target["expr"].replace("$lab", ".+")
    query = urllib.parse.urlencode({"query": expression, "start": end - HOURS * 3600, "end": end, "step": 60})
    for attempt in range(50):
        try:
            with urllib.request.urlopen(f"http://{address}/api/v1/query_range?{query}", timeout=30) as answer:
                rows = json.load(answer)["data"]["result"]
            return [(row["metric"], [(float(at), float(value)) for at, value in row["values"]]) for row in rows]
        except OSError:
            if attempt == 49:
                raise
            time.sleep(0.2)
    return []


def draw(address: str, end: float) -> Figure:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * (height + 3)), dpi=DPI)
    note = (
        "Drawn from the dashboard's own expressions, answered by Prometheus over a made-up night; not Grafana itself."
    )
    figure.text(0.01, 1 - 1.6 / (height + 3), note, color=DIM, fontsize=11)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        top = 1 - (place["y"] + 3) / (height + 3)
        if panel["type"] == "row":
            figure.text(
                left + 0.01, top - 0.6 / (height + 3), panel["title"], fontsize=12, fontweight="bold", color=INK
            )
            continue
        tall = place["h"] / (height + 3)
        names = 0.025 if panel["type"] == "state-timeline" else 0.0
        box = (left + 0.035 + names, top - 0.84 * tall, width - 0.05 - names, 0.64 * tall)
        axes = figure.add_axes(box)
        axes.set_title(panel["title"], loc="left", fontsize=9, color=INK, pad=3)
        paint(axes, panel, [(t, found) for t in panel["targets"] for found in lines(address, t, end)], end)
    return figure


def paint(axes: Axes, panel: dict[str, Any], found: list[Any], end: float) -> None:
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    axes.tick_params(labelsize=7, colors=DIM, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if panel["type"] == "stat":
        axes.axis("off")
        value = next((v for _, v in reversed(found[0][1][1]) if math.isfinite(v)), math.nan) if found else math.nan
        axes.text(0, 0.25, worded(value, unit, panel), fontsize=19, color=COLOURS[0], fontweight="bold")
        return
    if not found:
        axes.axis("off")
        axes.text(0, 0.6, "nothing fires" if panel["title"] == "Alerts" else "no data", color=DIM, fontsize=9)
        return
    axes.set_xlim(-HOURS, 0)
    if panel["type"] == "state-timeline":
        states(axes, found, end)
        return
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    curves(axes, found, end, 1e9 if unit == "bytes" else 1, panel["fieldConfig"]["overrides"], stacked=stacked)
    axes.set_ylabel({"bytes": "GB", "percentunit": "share", "s": "s", "currencyUSD": "USD"}.get(unit, ""), fontsize=7)
    if len(found) > 1:
        axes.legend(fontsize=6.5, frameon=False, ncols=3, loc="best", handlelength=1)


def curves(axes: Axes, found: list[Any], end: float, scale: float, overrides: Any, *, stacked: bool) -> None:
    base: dict[float, float] = defaultdict(float)
    fixed = {one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"] for one in overrides}
    for place, (target, (labels, points)) in enumerate(found):
        hours = [(at - end) / 3600 for at, _ in points]
        values = [value / scale for _, value in points]
        name = legend(target, labels)
        colour = fixed.get(name, COLOURS[place % len(COLOURS)])
        if stacked:
            low = [base[at] for at, _ in points]
            high = [under + value for under, value in zip(low, values, strict=True)]
            base.update({at: over for (at, _), over in zip(points, high, strict=True)})
            axes.fill_between(hours, low, high, color=colour, alpha=0.7, linewidth=0, label=name)
        else:
            style = "steps-post" if "val_bpb" in target["expr"] else "default"
            axes.plot(hours, values, color=colour, linewidth=1.2, label=name, drawstyle=style)


def states(axes: Axes, found: list[Any], end: float) -> None:
    axes.set_yticks(range(len(found)), [legend(target, labels) for target, (labels, _) in found])
    for row, (_, (_, points)) in enumerate(found):
        spans = [((at - end) / 3600, 1 / 60) for at, _ in points]
        axes.broken_barh(spans, (row - 0.4, 0.8), color=COLOURS[row % len(COLOURS)])


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    text = str(target.get("legendFormat", ""))
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text.replace(LABELS["instance"], "").strip() or LABELS["instance"]


def worded(value: float, unit: str, panel: dict[str, Any]) -> str:
    places = panel["fieldConfig"]["defaults"].get("decimals", 0)
    return f"{value:,.{places}f}{ {'currencyUSD': ' USD', 's': ' s'}.get(unit, '') }"


def main() -> int:
    with tempfile.TemporaryDirectory() as name, Ledger(Path(name) / "ledger.sqlite") as ledger:
        night = Night(Path(name), ledger)
        night.go_by()
        with prometheus(Path(name), night.openmetrics()) as address:
            figure = draw(address, night.seen_at)
        raw = Path(name) / "raw.png"
        figure.savefig(raw, facecolor="white")
        Image.open(raw).convert("RGB").quantize(48).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB, {night.number} made-up experiments")
    return 0


if __name__ == "__main__":
    sys.exit(main())
