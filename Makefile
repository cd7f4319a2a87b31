# Every target does its own set-up, says what it does, and may be run twice.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo test slurm-test deploy-check lint simulate simulate-mutants chaos chaos-phases fuzz scale reproduction bench bench-growth profile clean

CARGO := cargo
BIN := target/release

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: ## install what building needs: a C++ compiler and the lean libtorch
	@command -v $(CARGO) >/dev/null || { echo "setup: cargo is missing. Install Rust 1.95 or later with rustup."; exit 1; }
	@scripts/system.sh build
	@scripts/libtorch.sh

build: setup ## build transect, transect-coordinator and transect-worker into target/release
	@echo "build: compiling in release (several minutes the first time, seconds after that)"
	@$(CARGO) build --release --locked --workspace --bins

demo: build ## train, walk and draw the first sweep on Fashion-MNIST
	@scripts/system.sh demo
	@echo "demo: $(BIN)/transect run sweeps/first.toml"
	@$(BIN)/transect run sweeps/first.toml

test: setup ## run the whole test suite
	@scripts/system.sh build test
	@scripts/s3.sh
	@echo "test: building everything, programs included, then running every test"
	@$(CARGO) test --profile tested --locked --workspace

reproduction: build ## run sweeps/paper/small and write docs/reproduction.md (about an hour on two cores; DATA=folder of cifar10)
	@scripts/system.sh demo
	@scripts/reproduction.sh $(or $(DATA),.transect/data)

slurm-test: build ## run a sweep through a Slurm of one machine (as root; installs slurm-wlm and munge; about 80 s)
	@BIN=$(BIN) deploy/slurm/test.sh

deploy-check: ## verify systemd units, Kubernetes manifests, Dockerfiles, compose file, alerts and dashboard
	@deploy/systemd/check.sh
	@deploy/prometheus/check.sh
	@deploy/kubernetes/check.sh
	@deploy/docker/check.sh

simulate: ## play SEEDS histories of a cluster under faults (SEED=42 replays one and prints its log)
	@$(CARGO) build --release --locked --package transect-simulate
	@$(BIN)/transect-simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

simulate-mutants: ## show that the simulation finds each deliberate mistake, within SEEDS seeds
	@$(CARGO) build --release --locked --package transect-simulate
	@$(BIN)/transect-simulate --mutants $(or $(SEEDS),1000)

chaos: setup ## play ROUNDS sweeps on real processes under faults and compare every table (SEED=s STORE=sqlite|postgres|both)
	@scripts/system.sh test
	@scripts/s3.sh
	@$(CARGO) build --release --locked --workspace --bins
	@$(BIN)/transect-chaos --rounds $(or $(ROUNDS),10) --store $(or $(STORE),both) $(if $(SEED),--seed $(SEED))

chaos-phases: setup ## kill a worker at each phase of its work, on both stores (STORE=sqlite|postgres|both)
	@scripts/system.sh test
	@$(CARGO) build --release --locked --workspace --bins
	@$(BIN)/transect-chaos --phases --store $(or $(STORE),both)

fuzz: setup ## damage sweep files, requests, checkpoints, snapshots and data files in CASES ways each
	@scripts/system.sh build test
	@PROPTEST_CASES=$(or $(CASES),5000) $(CARGO) test --profile tested --locked --workspace --test fuzz

scale: setup ## measure a coordinator under the load of a large cluster, on both stores (about 12 min; SOAK=3600, SCALE="--help")
	@scripts/system.sh build test
	@$(CARGO) build --release --locked --package transect-coordinator --package transect-cli --package transect-scale --bins
	@ulimit -n $$(ulimit -Hn) && $(BIN)/transect-scale $(if $(SOAK),--soak $(SOAK)) $(SCALE)

bench: setup ## measure ours against its peers (WORK='name or pattern ...' RUNS=n SET='size=value ...'; LIST=1 says what there is)
	@scripts/system.sh build test
	@scripts/bench.sh $(foreach work,$(WORK),'$(work)') $(if $(RUNS),--runs $(RUNS)) $(foreach size,$(SET),--set '$(size)') $(if $(LIST),--list)

bench-growth: setup ## measure how costs grow with alphas, layers, images and seeds
	@$(CARGO) build --release --locked --workspace --bins
	@python3 bench/growth.py

profile: setup ## draw where our side of a work spends its time (WORK=layers-lenet5): .transect/profile/WORK.svg
	@scripts/profile.sh $(or $(WORK),layers-lenet5)

lint: setup ## rustfmt, clippy, unused dependencies, SQL and proto checks; warnings are errors
	@scripts/lint.sh

clean: ## remove what was built; keeps .deps (libtorch) and .transect (results)
	@$(CARGO) clean
