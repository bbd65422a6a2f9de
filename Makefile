# `make run` shows Subak at work; `make test` runs every check and test. `make help` lists the rest.
SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/subak/target

.PHONY: help run test lint build fmt pictures soak bench

help: ## lists what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## installs what is missing, builds, runs retail_retention and serves; EXIT=1 ends after the run
	@scripts/setup.sh run
	@scripts/run.sh

test: ## installs what is missing, runs every check and every test
	@scripts/setup.sh test
	@scripts/lint.sh
	@scripts/test.sh

lint: ## the checks of `make test` alone
	@scripts/setup.sh test
	@scripts/lint.sh

build: ## builds the whole workspace
	@scripts/setup.sh run
	cargo build --workspace --locked

fmt: ## lays out Rust and TOML files
	@scripts/setup.sh test
	cargo fmt --all
	@scripts/tool.sh taplo fmt

pictures: ## takes the pictures of the pages that the documents show
	@scripts/setup.sh test
	SUBAK_PICTURES=1 cargo test --workspace --locked --test it -- browser::pictures

soak: ## the tests that have counts, with high ones; takes hours, can be stopped
	@scripts/setup.sh test
	@scripts/soak.sh

bench: ## measures the engine, the retail pipeline, and Kafka into PostgreSQL beside other ways
	@scripts/setup.sh test
	@scripts/bench.sh
