# What a person runs here. `make` alone lists it.

CARGO_FLAGS := --locked
LAB := tests/lab/lab
BIN := target/debug
# The lab's nodes install the agent as people do, by apt.
LAB_ENV = QUORATE_BIN=$(abspath $(BIN)) QUORATE_AGENT=$(abspath $(BIN)/quorate-agent.deb)

.PHONY: help build test fmt lint units unit lab-test crash-matrix demo demo-down bench-bringup bench-overhead bench-apply bench-agent bench-storm bench-storm-lab bench-enrol sim fuzz packages packages-check agent-deb vm-test

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## quorate and quorate-agent, quick to build, in target/debug
	cargo build $(CARGO_FLAGS) -p quorate -p quorate-agent

packages: ## quorate and quorate-agent as .deb and .rpm, in target/packages (Rust and Go)
	packaging/build

packages-check: ## lintian, rpmlint, the same bytes when packed again, and rpm's install, upgrade and removal
	packaging/check

agent-deb: build
	packaging/build dev

test: fmt lint units unit lab-test vm-test ## formatting, clippy, all tests, the lab (real nodes, real kubeadm) and a virtual machine

fmt:
	cargo fmt --check

lint:
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then tests/lab/lint; else echo "shellcheck is not installed: the scripts are not checked"; fi

units: build ## what systemd says of the packages' units, and how much they leave open
	@if command -v systemd-analyze >/dev/null; then packaging/check-units $(BIN)/quorate-agent; else echo "systemd-analyze is not installed: the units are not checked"; fi

unit: ## the tests that need no root and no nodes
	cargo test $(CARGO_FLAGS) --workspace --lib --bins --test all

bench-storm: ## an agent whose door is crowded
	cargo build $(CARGO_FLAGS) -p quorate-tests --bin storm
	ulimit -n 20000; $(BIN)/storm

bench-storm-lab: agent-deb ## the same of a node of the demo's cluster
	cargo build $(CARGO_FLAGS) -p quorate-tests --bin storm
	$(LAB_ENV) tests/lab/bench-storm

bench-enrol: ## 1,000 machines enrol at once with a coordinator that has one processor
	cargo build $(CARGO_FLAGS) -p quorate -p quorate-tests --bin quorate --bin enrol-storm
	ulimit -n 8192; $(BIN)/enrol-storm $(BIN)/quorate

sim: ## the simulation alone, in under a minute; SEEDS=n for more of it
	QUORATE_SEEDS=$(or $(SEEDS),200) cargo test $(CARGO_FLAGS) --release -p quorate-tests --test all sim -- --nocapture

fuzz: ## every reader of strangers' bytes, for SECONDS_EACH=n (60) each (needs cargo-fuzz and g++)
	SECONDS_EACH=$(or $(SECONDS_EACH),60) tests/fuzz/run

lab-test: agent-deb ## kubeadm judges our configuration; six real nodes become a cluster and lose one (root, Debian)
	tests/lab/validate
	$(LAB_ENV) cargo test $(CARGO_FLAGS) -p quorate-tests --test lab -- --nocapture

crash-matrix: agent-deb ## everything is killed at every moment, on real nodes; PARTS="orders node" for some of it (root, Debian, an hour)
	cargo build $(CARGO_FLAGS) -p quorate-tests --bin crash-matrix
	$(LAB_ENV) $(BIN)/crash-matrix $(PARTS)

vm-test: agent-deb ## a virtual machine's first boot: cloud-init, the .deb, enrolment, real kernel modules (root, Debian); WHOLE=1 to a cluster
	$(LAB_ENV) tests/vm/first-boot $(if $(WHOLE),cluster)

demo: agent-deb ## six bare nodes become a cluster on this machine (root, Debian)
	$(LAB_ENV) tests/lab/demo

demo-down: ## ends the demo's nodes and removes their state
	$(LAB) down

bench-bringup: agent-deb ## bring-up by quorate over bring-up by the documented sequence
	$(LAB_ENV) tests/lab/bench-bringup

bench-overhead: agent-deb ## the share of a bring-up that quorate itself takes
	$(LAB_ENV) tests/lab/bench-overhead

bench-apply: build ## an apply that finds nothing to do, on the demo's cluster
	QUORATE_BIN=$(abspath $(BIN)) tests/lab/bench-apply

bench-agent: build ## size and memory of the agent as it is released, and what its socket costs a call
	cargo build $(CARGO_FLAGS) --release -p quorate-agent
	cargo bench $(CARGO_FLAGS) -p quorate-agent --features fake --bench split
	QUORATE_BIN=$(abspath $(BIN)) tests/lab/bench-agent target/release/quorate-agent
