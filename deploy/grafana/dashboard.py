"""The dashboard of a lab, as Grafana reads it; ``scripts/dashboard.py`` writes it to ``dashboards/autoresearch.json``.

Only metrics of docs/metrics.md are asked for, and no recorded ones: it works with any Prometheus that scrapes a lab.
A panel is one call in :func:`rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

LAB = 'instance=~"$lab"'
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
HEIGHT = 8
WIDTH = 24
COLOURS = {
    "keep": "green", "discard": "#8c959f", "refused": "yellow", "crash": "red", "timeout": "orange",
    "invalid": "purple",
}  # fmt: skip
CLAIMED = "Printed by the program that trains: a hint for people, checked by nobody."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One expression and the name of its lines."""

    expr: str
    legend: str = "{{instance}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One panel with lines over time. ``look`` is "line", "steps", "points", "bars" or "areas"."""

    title: str
    asks: Sequence[Ask]
    unit: str = units.Short
    look: str = "line"
    text: str = ""
    width: int = 8
    top: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One panel with the present value."""

    title: str
    expr: str
    unit: str = units.Short
    decimals: int | None = None
    text: str = ""
    width: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A heading and its panels, from left to right."""

    title: str
    panels: Sequence[Chart | Number] = field(default_factory=tuple)


def rows() -> list[Row]:
    return [now(), score(), belief(), outcomes(), slot(), throughput(), cost(), machine()]


def now() -> Row:
    return Row(
        title="Now",
        panels=[
            Number(
                title="Champion",
                expr=f"autoresearch_champion_val_bpb{{{LAB}}}",
                decimals=4,
                text="Validation bits per byte by the referee; lower is better.",
            ),
            Number(title="Last scored", expr=f"autoresearch_last_val_bpb{{{LAB}}}", decimals=4),
            Number(title="Experiments since the champion", expr=f"autoresearch_champion_age_experiments{{{LAB}}}"),
            Number(
                title="Since the last experiment",
                expr=f"time() - autoresearch_last_experiment_closed_timestamp_seconds{{{LAB}}}",
                unit=units.Seconds,
                decimals=0,
            ),
            Number(
                title="Spent", expr=f"autoresearch_provider_cost_usd_total{{{LAB}}}", unit=units.Dollars, decimals=2
            ),
            Number(title="Patches that wait", expr=f"autoresearch_inbox_patches{{{LAB}}}"),
            Chart(
                title="What the loop is at",
                asks=[Ask(expr=f"autoresearch_loop_phase{{{LAB}}} == 1", legend="{{autoresearch_loop_phase}}")],
                look="states",
                width=24,
            ),
        ],
    )


def score() -> Row:
    return Row(
        title="Score",
        panels=[
            Chart(
                title="Staircase of the best",
                asks=[
                    Ask(expr=f"autoresearch_champion_val_bpb{{{LAB}}}", legend="champion {{instance}}"),
                    Ask(expr=f"autoresearch_last_val_bpb{{{LAB}}}", legend="last scored {{instance}}"),
                ],
                look="steps",
                width=16,
                text="Validation bits per byte by the referee. Only scores of one arena are comparable.",
            ),
            Chart(
                title="Experiments since the champion",
                asks=[Ask(expr=f"autoresearch_champion_age_experiments{{{LAB}}}")],
                look="steps",
            ),
        ],
    )


def belief() -> Row:
    share = f"autoresearch_replicate_seconds_total{{{LAB}}} / autoresearch_trials_seconds_total{{{LAB}}}"
    return Row(
        title="Keeps you can believe",
        panels=[
            Chart(
                title="Noise of one run (σ)",
                asks=[Ask(expr=f"autoresearch_noise_sigma_bpb{{{LAB}}}", legend="{{instance}}")],
                look="steps",
                text="Standard deviation of the score over seeds, bits per byte. Smaller gains are mostly luck.",
            ),
            Chart(
                title="Share of the time that went to replicates",
                asks=[Ask(expr=share, legend="{{instance}}")],
                unit=units.PercentUnit,
            ),
            Chart(
                title="Set aside",
                asks=[
                    Ask(expr=f"autoresearch_trials_voided_total{{{LAB}}}", legend="trials voided {{instance}}"),
                    Ask(expr=f"autoresearch_withheld_total{{{LAB}}}", legend="wait for a person {{instance}}"),
                ],
                look="steps",
            ),
        ],
    )


def outcomes() -> Row:
    return Row(
        title="Experiments",
        panels=[
            Chart(
                title="Experiments an hour, by outcome",
                asks=[
                    Ask(
                        expr=f"sum by (decision) (increase(autoresearch_experiments_total{{{LAB}}}[1h]))",
                        legend="{{decision}}",
                    )
                ],
                look="areas",
            ),
            Chart(
                title="Refusals, by rule",
                asks=[Ask(expr=f"sum by (rule) (autoresearch_refusals_total{{{LAB}}}) > 0", legend="{{rule}}")],
                look="steps",
            ),
            Chart(
                title="Trials, by what ended them",
                asks=[Ask(expr=f"sum by (status) (autoresearch_trials_total{{{LAB}}}) > 0", legend="{{status}}")],
                look="steps",
            ),
        ],
    )


def slot() -> Row:
    seconds = f"autoresearch_loop_phase_seconds_total{{{LAB}}}"
    return Row(
        title="The slot",
        panels=[
            Chart(
                title="Duty cycle",
                asks=[Ask(expr=f"autoresearch_slot_duty_ratio{{{LAB}}}", legend="{{share}} {{instance}}")],
                unit=units.PercentUnit,
                top=1.0,
                text="Share of this run's time in a trial, and training.",
            ),
            Chart(
                title="Where the time goes",
                asks=[Ask(expr=f"sum by (phase) (rate({seconds}[30m]))", legend="{{phase}}")],
                unit=units.PercentUnit,
                look="areas",
            ),
            Chart(
                title="Seconds of a trial",
                asks=[
                    quantile(0.5, "trial_train_seconds", "train, median"),
                    quantile(0.9, "trial_startup_seconds", "start-up, 90 %"),
                    quantile(0.9, "trial_score_seconds", "score, 90 %"),
                    quantile(0.9, "slot_idle_seconds", "idle between two, 90 %"),
                ],
                unit=units.Seconds,
            ),
        ],
    )


def throughput() -> Row:
    live, last = "autoresearch_claimed_live", "autoresearch_claimed"
    return Row(
        title="Throughput, as claimed",
        panels=[
            Chart(
                title="Tokens per second (claimed)",
                asks=[
                    Ask(expr=f"{live}_tokens_per_second{{{LAB}}}", legend="while it trains {{instance}}"),
                    Ask(expr=f"{last}_tokens_per_second{{{LAB}}}", legend="last trial {{instance}}"),
                ],
                text=CLAIMED,
                width=6,
            ),
            Chart(
                title="MFU (claimed)",
                asks=[Ask(expr=f"{last}_mfu_ratio{{{LAB}}}")],
                unit=units.PercentUnit,
                text=f"Model FLOPs utilisation; 0 where the device's peak is not known. {CLAIMED}",
                width=6,
            ),
            Chart(
                title="Training loss, nats a token (claimed)",
                asks=[Ask(expr=f"{live}_loss_nats{{{LAB}}}")],
                text=CLAIMED,
                width=6,
            ),
            Chart(
                title="Peak memory (claimed)",
                asks=[Ask(expr=f"{last}_peak_memory_bytes{{{LAB}}}")],
                unit=units.BytesIEC,
                text=CLAIMED,
                width=6,
            ),
        ],
    )


def cost() -> Row:
    return Row(
        title="The proposer and what it costs",
        panels=[
            Chart(
                title="US dollars",
                asks=[
                    Ask(expr=f"autoresearch_provider_cost_usd_total{{{LAB}}}", legend="spent {{instance}}"),
                    Ask(
                        expr=f'autoresearch_provider_cap_usd{{{LAB}, period="total"}}',
                        legend="where it ends {{instance}}",
                    ),
                ],
                unit=units.Dollars,
            ),
            Chart(
                title="Tokens an hour",
                asks=[
                    Ask(
                        expr=f"sum by (kind) (increase(autoresearch_provider_tokens_total{{{LAB}}}[1h]))",
                        legend="{{kind}}",
                    )
                ],
                look="areas",
            ),
            Chart(
                title="Seconds for a proposal",
                asks=[
                    quantile(0.5, "propose_seconds", "median"),
                    quantile(0.9, "propose_seconds", "90 %"),
                ],
                unit=units.Seconds,
            ),
        ],
    )


def machine() -> Row:
    return Row(
        title="Faults and the machine",
        panels=[
            Chart(
                title="Faults of ours",
                asks=[Ask(expr=f"sum by (kind) (autoresearch_faults_total{{{LAB}}})", legend="{{kind}}")],
                look="steps",
                text="The service, the provider, or proposals that could not be used. No experiment is judged by them.",
                width=6,
            ),
            Chart(
                title="Alerts",
                asks=[Ask(expr=f'ALERTS{{alertname=~"Autoresearch.+", {LAB}}}', legend="{{alertname}} {{alertstate}}")],
                look="states",
                width=6,
            ),
            Chart(
                title="Free where the lab lies",
                asks=[Ask(expr=f"autoresearch_lab_free_bytes{{{LAB}}}")],
                unit=units.BytesIEC,
                width=6,
            ),
            Chart(
                title="Memory of the daemon",
                asks=[Ask(expr=f'process_resident_memory_bytes{{job="autoresearch", {LAB}}}')],
                unit=units.BytesIEC,
                width=6,
            ),
        ],
    )


def quantile(share: float, name: str, legend: str) -> Ask:
    rate = f"rate(autoresearch_{name}_bucket{{{LAB}}}[1h])"
    return Ask(expr=f"histogram_quantile({share}, sum by (le) ({rate}))", legend=legend)


def dashboard() -> build.Dashboard:
    made = (
        build.Dashboard("autoresearch")
        .uid("autoresearch")
        .description("A lab that does language-model research by itself. Made by deploy/grafana/dashboard.py.")
        .tags(["autoresearch"])
        .readonly()
        .refresh("30s")
        .time("now-12h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Data").type("prometheus"))
        .with_variable(
            build.QueryVariable("lab")
            .label("Lab")
            .datasource(DATASOURCE)
            .query("label_values(autoresearch_build_info, instance)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(models.VariableOption(text="All", value="$__all", selected=True))
        )
    )
    numbers = count(1)
    for row in rows():
        made = made.with_row(build.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            drawn = _number(panel) if isinstance(panel, Number) else _chart(panel)
            made = made.with_panel(drawn.id(next(numbers)))
    return made


def as_json() -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard().build()) + "\n"


def _ask(ask: Ask, at: int) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(chr(ord("A") + at)).expr(ask.expr).legend_format(ask.legend)


def _number(number: Number) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(number.title)
        .description(number.text)
        .datasource(DATASOURCE)
        .unit(number.unit)
        .height(4)
        .span(number.width)
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_ask(Ask(expr=number.expr), 0).instant())
    )
    return panel.decimals(number.decimals) if number.decimals is not None else panel


def _chart(chart: Chart) -> timeseries.Panel | statetimeline.Panel:
    panel: timeseries.Panel | statetimeline.Panel = _states(chart) if chart.look == "states" else _lines(chart)
    panel = panel.title(chart.title).description(chart.text).datasource(DATASOURCE).span(chart.width)
    for at, ask in enumerate(chart.asks):
        panel = panel.with_target(_ask(ask, at))
    return panel


def _states(chart: Chart) -> statetimeline.Panel:
    panel = statetimeline.Panel().height(6 if chart.width == WIDTH else HEIGHT)
    return panel.show_value(shapes.VisibilityMode.NEVER).merge_values(True)


def _lines(chart: Chart) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .height(HEIGHT)
        .unit(chart.unit)
        .show_points(shapes.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(shapes.LegendDisplayMode.LIST)
            .placement(shapes.LegendPlacement.BOTTOM)
        )
    )
    if chart.look == "steps":
        panel = panel.line_interpolation(shapes.LineInterpolation.STEP_AFTER)
    if chart.look == "areas":
        panel = panel.fill_opacity(60).stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    if chart.top is not None:
        panel = panel.min(0).max(chart.top)
    for name, colour in COLOURS.items():
        if any("{{decision}}" in ask.legend for ask in chart.asks):
            fixed = models.FieldColor(mode=models.FieldColorModeId.FIXED, fixed_color=colour)
            panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=fixed)])
    return panel
