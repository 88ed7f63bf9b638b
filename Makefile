# Two commands are enough: `make demo` shows it at work, `make test` runs every test. Both set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test attack fuzz crash soak lint train-env daemon-image install uninstall bench lock clean

LAB ?= demo-lab
EXPERIMENTS ?= 5

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## environment in .venv, Docker engine, CPU image; safe to repeat
	@scripts/setup.sh

demo: setup ## a lab in ./demo-lab: a baseline and five experiments, then the table, the picture and the git log
	@scripts/demo.sh $(LAB) $(EXPERIMENTS)

test: train-env ## format, lint, types, import rules, and every test, with the real engine
	@scripts/test.sh

attack: train-env ## every attack on the wall, and every honest program; an hour on a quiet machine
	@scripts/attack.sh

fuzz: train-env ## 20,000 mutants of real sealed models against the referee; half an hour
	@scripts/fuzz.sh 20000

crash: setup ## the daemon killed at every named place, five times each, with the real engine; half an hour
	@scripts/crash.sh

soak: setup ## five hundred short experiments under a schedule of faults; a quarter of an hour
	@scripts/soak.sh

lint: ## format, lint, types and import rules alone (after make setup)
	@scripts/lint.sh

train-env: ## .venv-train: torch, to run prepare.py and train.py by hand
	@scripts/setup.sh --train

daemon-image: ## autoresearch-daemon:local, for compose.yml (after make setup)
	@scripts/daemon_image.sh

install: ## for the whole machine, as root: /opt/autoresearchd, its unit and its user; PREFIX and DESTDIR are honoured
	@scripts/install.sh

uninstall: ## take away what install made; labs and their data stay
	@scripts/install.sh --uninstall

bench: train-env ## the figures of the README, measured here; an hour on a quiet machine
	@scripts/bench.sh

lock: ## write the lock files again (needs an index)
	@scripts/lock.sh

clean: ## remove environments, build/ and demo-lab; images and volumes stay with the engine
	rm -rf .venv .venv-train build demo-lab
