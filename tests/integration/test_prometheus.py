"""The real Prometheus: it loads our rules, reads a real run, and answers every expression we ship."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from specs import REPOSITORY
from test_loop import ARENA, BASELINE, Bench, file_scoring, score_in
from test_metrics import LOG, TIMES, USAGE

from daemon.cost import Caps
from daemon.metrics.publish import Facts, instruments
from daemon.metrics.server import serving
from daemon.observe import FaultSeen, NoiseKnown, Observers, ProviderCharged
from sandbox.fake import FakeRun
from sandbox.interface import SandboxSpec

SHIPPED = REPOSITORY / "deploy" / "prometheus"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dashboards" / "autoresearch.json"
PROGRESS = "step 00012 (  3.1%) | loss 5.1234 | 12,345 tok/s | 83 ms/step\n"
RULES = sorted(SHIPPED.glob("*.rules.yml"))
PATIENCE_SECONDS = 20.0


def tool(name: str) -> str:
    unpacked = REPOSITORY / "build" / "prometheus" / "usr" / "bin"
    found = shutil.which(name) or shutil.which(name, path=unpacked)
    assert found, (
        f"{name} is missing: scripts/prometheus.sh fetches it on Debian and Ubuntu, and `make test` calls that"
    )
    return found


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What it says; it must be content."""
    done = subprocess.run([tool("promtool"), *arguments], cwd=SHIPPED, input=given, capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def rules() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The metrics of ours that an expression names, recorded ones left out."""
    return set(re.findall(r"(?<![:\w])autoresearch_\w+", expression))


def test_every_rule_file_and_the_example_load() -> None:
    assert [file.name for file in RULES] == ["alerts.rules.yml", "recording.rules.yml"]
    promtool("check", "rules", "--lint=all", "--lint-fatal", *(file.name for file in RULES))
    for example in ("prometheus.yml", "compose.yml"):
        promtool("check", "config", example)


def test_the_cases_of_the_rules_hold_and_every_alert_fires_in_one() -> None:
    promtool("test", "rules", "tests.yml")
    cases = [case for test in yaml.safe_load((SHIPPED / "tests.yml").read_text())["tests"] for case in alerts_of(test)]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def alerts_of(test: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = test.get("alert_rule_test", [])
    return found


@dataclass(frozen=True)
class Prometheus:
    """One that runs, asked over its API."""

    port: int

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        rows = self.ask("query", query=expression)["result"]
        return [(row["metric"], float(row["value"][1])) for row in rows]

    def value(self, expression: str) -> float | None:
        rows = self.query(expression)
        assert len(rows) <= 1, rows
        return rows[0][1] if rows else None


def until(what: str, holds: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.1)
    pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, bytes]]:
    """A lab whose run was scraped while it was at work; Prometheus, and the last exposition."""
    folder = tmp_path_factory.mktemp("prometheus")
    bench, registry = Bench(folder / "lab"), CollectorRegistry()
    facts = Facts(
        arena=ARENA, program_sha256="0" * 64, times=TIMES, caps=Caps(max_usd=9.0, max_tokens=9000),
        directory=bench.lab, inbox_count=bench.inbox.count,
    )  # fmt: skip
    with bench.ledger() as ledger:
        observer = instruments(registry, facts, ledger)
        ProcessCollector(registry=registry)
        with serving(("127.0.0.1", 0), registry) as port, scraping(folder, port or 0) as prometheus:
            log = folder / "log"
            until("a first scrape", lambda: prometheus.value("autoresearch_paused") == 0, log)
            a_night(bench, ledger, observer)
            closed = "sum(autoresearch_experiments_total)"
            until("the end of the run is seen", lambda: prometheus.value(closed) == 7, log)
            seen = datetime.now(UTC) + timedelta(seconds=1)  # alerts stand on what the other group recorded before
            until("every rule was evaluated", lambda: evaluated_since(prometheus, seen), log)
            yield prometheus, generate_latest(registry)


def a_night(bench: Bench, ledger: Any, observer: Any) -> None:
    """A baseline and six experiments, each of which trains for a moment."""
    files = [
        file_scoring(1.9), b"evil = 1  # 0.1\n", b"x = 1  # crash\n", b"w = 1  # invalid\n", file_scoring(1.95),
        file_scoring(1.5),
    ]  # fmt: skip

    def script(spec: SandboxSpec) -> FakeRun:
        seconds = 1.5 if spec.train_py == BASELINE else 0.3  # long enough to be scraped while it trains
        return replace(score_in(spec), log=PROGRESS + LOG, while_training=lambda: time.sleep(seconds))

    watching = Observers([observer])
    watching.notify(ProviderCharged(usage=USAGE))
    watching.notify(FaultSeen(message="the engine is gone", retry_seconds=None))
    watching.notify(NoiseKnown(sigma_bpb=0.002, runs=5))
    loop = bench.loop(ledger, files, script, observers=watching)
    replace(loop, source=replace(loop.source, observers=watching)).run(len(files))


class scraping:
    """Prometheus with the shipped example, but for its pace and its target."""

    def __init__(self, folder: Path, target: int) -> None:
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._folder = folder

    def __enter__(self) -> Prometheus:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = [
            tool("prometheus"),
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return Prometheus(port)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def evaluated_since(prometheus: Prometheus, moment: datetime) -> bool:
    groups = prometheus.ask("rules")["groups"]
    at = [datetime.fromisoformat(group["lastEvaluation"]) for group in groups]
    return len(groups) == len(RULES) and all(evaluated >= moment for evaluated in at)


def test_prometheus_sees_the_run(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    assert prometheus.value("up") == 1
    assert prometheus.value("autoresearch_champion_val_bpb") == 1.5
    counted = {row["decision"]: count for row, count in prometheus.query("autoresearch_experiments_total > 0")}
    assert counted == {"keep": 3, "discard": 1, "refused": 1, "crash": 1, "invalid": 1}
    assert prometheus.value("autoresearch_claimed_tokens_per_second") == 125_000
    assert prometheus.query("autoresearch_arena_info")[0][0]["fingerprint"] == ARENA.fingerprint
    training = prometheus.value('autoresearch_loop_phase_seconds_total{phase="training"}')
    assert training is not None
    assert training >= 6 * 0.3


def test_every_metric_that_a_rule_names_is_scraped(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    named = {name for rule in rules() for name in metrics_in(rule["expr"])}
    assert len(named) > 10
    assert {name for name in named if not prometheus.query(name)} == set()


def test_every_recording_rule_gives_a_series_a_lab(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    assert {name for name in recorded if not prometheus.query(name)} == set()
    single = [name for name in recorded if name.startswith("instance:")]
    assert [name for name in single if len(prometheus.query(name)) != 1] == []
    share = prometheus.value("instance:autoresearch_slot_trial:ratio30m")
    assert share is not None
    assert 0 < share <= 1
    assert (prometheus.value("instance:autoresearch_experiments_refused:ratio1h") or 0) > 0


def test_every_rule_is_evaluated_without_an_error_and_what_must_fire_fires(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    found = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rules())
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []
    firing = {rule["name"] for rule in found if rule["type"] == "alerting" and rule["state"] == "firing"}
    assert firing == {"AutoresearchRefereeInvalid"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Each panel's title with each of its expressions, its variable filled in as Grafana does for all labs."""
    return [(panel["title"], t["expr"].replace("$lab", ".+")) for panel in panels() for t in panel["targets"]]


def numbers_of(prometheus: Prometheus, expression: str) -> list[float]:
    """What a panel over the whole run would draw."""
    now = time.time()
    drawn = prometheus.ask("query_range", query=expression, start=str(now - 90), end=str(now), step="0.5")["result"]
    return [number for row in drawn for _, text in row["values"] if math.isfinite(number := float(text))]


def test_every_panel_of_the_dashboard_has_something_to_draw(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    asked = expressions()
    assert len(asked) > 30
    assert [title for title, expression in asked if not numbers_of(prometheus, expression)] == []


def test_an_expression_without_data_would_be_noticed(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    assert numbers_of(prometheus, 'autoresearch_champion_val_bpb{instance=~".+", job="no such"}') == []
    assert numbers_of(prometheus, "autoresearch_champion_val_bqb") == []


def test_the_dashboard_asks_for_nothing_that_is_not_scraped(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    named = {name for _, expression in expressions() for name in metrics_in(expression)}
    assert len(named) > 20
    assert {name for name in named if not prometheus.query(name)} == set()


def test_one_lab_can_be_chosen_from_many(served: tuple[Prometheus, bytes]) -> None:
    prometheus, _ = served
    lab = next(v for v in json.loads(DASHBOARD.read_text())["templating"]["list"] if v["name"] == "lab")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", lab["query"]).groups()  # type: ignore[union-attr]
    assert prometheus.query(metric)[0][0][label].startswith("127.0.0.1:")
    assert all("$lab" in target["expr"] for panel in panels() for target in panel["targets"])


def test_the_panels_fill_the_page_and_have_numbers_of_their_own() -> None:
    every = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for top in {panel["gridPos"]["y"] for panel in every}:
        assert sum(panel["gridPos"]["w"] for panel in every if panel["gridPos"]["y"] == top) == 24


def test_promtool_finds_nothing_wrong_with_the_names(served: tuple[Prometheus, bytes]) -> None:
    assert promtool("check", "metrics", given=served[1]) == ""
