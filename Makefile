# What a person runs. `make demo` and `make test` are all that a fresh machine needs.

CARGO ?= cargo

.PHONY: help demo test test-api test-soak test-chaos lint fmt doc bench bench-pure bench-plan bench-tasks bench-queue bench-supervision bench-sessions test-faults fuzz setup clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Finds Postgres, or installs it where that can be done without asking
	@tests/setup.sh

demo: setup ## A fleet at work on a private Postgres, with faults on the way
	$(CARGO) build --bin hostler
	$(CARGO) run --quiet --bin hostler -- demo

# Many tests wait for processes and clocks: with one more at a time than there are cores nobody is idle.
test: export RUST_TEST_THREADS ?= $(shell echo $$(($$(nproc) + 1)))
test: setup ## All tests; leaves no process and no file behind
	@tests/run.sh $(CARGO) test --lib --bins --tests --quiet
	$(CARGO) test --doc --quiet

test-soak: setup ## Minutes of faults: 10,000 tasks while agents are killed at random
	@tests/run.sh $(CARGO) test --test it soak_ -- --ignored --nocapture

test-api: setup ## The API as strangers use it: schemathesis against a real host, a browser at /docs
	@tests/run.sh $(CARGO) test --test it api_ -- --ignored --nocapture

test-chaos: setup ## Everything fails at once, and nothing may be lost; SEED=7 again the same, MINUTES=20 longer
	@SEED=$(SEED) MINUTES=$(MINUTES) tests/run.sh $(CARGO) test --test it chaos_ -- --ignored --nocapture

# Where what a supervisor promises is tested: crashes and their like, and all that a host does for its agents.
FAULTS = faults:: keeper:: adoption:: hosts:: host::agents:: host::embedded:: host::heartbeats:: host::holds:: host::logs:: \
	host::order:: host::readiness:: host::reload:: host::secrets:: host::stop:: host::systemd::

test-faults: setup ## Every fault of processes and hosts, and 1,000 random sequences against a model; SEED=7 one again
	@SEED=$(SEED) tests/run.sh $(CARGO) test --test it -- $(FAULTS) --include-ignored --skip soak_ --skip chaos_

fuzz: ## Fuzzers for what comes from outside, TIME seconds each (600); TARGET=mcp one of them
	@TIME=$(or $(TIME),600) tests/fuzz/run.sh $(TARGET)

lint: ## Format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --quiet -- -D warnings

fmt: ## Formats the code
	$(CARGO) fmt --all

doc: ## The code's documentation, without warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --quiet

bench: bench-pure bench-plan bench-tasks ## All benchmarks that are quick; figures go to target/bench/

bench-pure: ## The pure parts, by criterion
	$(CARGO) bench --bench decisions

bench-plan: ## How good and how fast plans are scheduled; BENCH_PYTHON names a Python with OR-tools
	$(CARGO) bench --bench plan

bench-tasks: setup ## Pick-up latency and throughput end to end, beside a bare floor in the same run
	$(CARGO) bench --bench tasks

bench-queue: setup ## The queue beside nine peers and bare SQL in one run; BENCH_PEERS=none leaves the peers out
	@benches/queue/peers.sh
	$(CARGO) bench --bench queue

bench-supervision: setup ## Restarts, storms, stops beside a bare fork loop and the supervisors on PATH; BENCH_ARGS="--quick" is shorter
	$(CARGO) bench --bench supervision -- $(BENCH_ARGS)

bench-sessions: setup ## Sessions, webhooks and events beside a FastAPI program and bare SQL; BENCH_ARGS="--quick" is shorter
	@benches/sessions/peer.sh
	$(CARGO) bench --bench sessions -- $(BENCH_ARGS)

clean: ## Removes what was built
	$(CARGO) clean
