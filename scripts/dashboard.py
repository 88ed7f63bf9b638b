#!/usr/bin/env python3
"""Write Grafana's dashboard from deploy/grafana/dashboard.py; --check only compares."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

GRAFANA = Path(__file__).resolve().parents[1] / "deploy" / "grafana"
TARGET = GRAFANA / "dashboards" / "autoresearch.json"


def source() -> ModuleType:
    """The module, which lies in no package."""
    spec = importlib.util.spec_from_file_location("autoresearch_dashboard", GRAFANA / "dashboard.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(GRAFANA / "dashboard.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the dashboard is out of date")
    made = source().as_json()
    if not parser.parse_args().check:
        TARGET.write_text(made, encoding="utf-8")
        return 0
    current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == made
    if not current:
        print(f"{TARGET} is out of date: run scripts/dashboard.py", file=sys.stderr)
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
