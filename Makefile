# The one door: what a person or CI does here is a target of this file. `make help` lists them.
SHELL := /bin/bash
# Outside the clone, so that a fresh clone reuses what is compiled. One profile for every step.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/flamelake/target
CARGO_FLAGS := --release --locked
# Of criterion, e.g. `--measurement-time 1`, or a name to run a few.
BENCH_ARGS ?= --noplot
FLAMELAKE := $(CARGO_TARGET_DIR)/release/flamelake
export FLAMELAKE_BIN ?= $(FLAMELAKE)
DATA ?= ./data

.PHONY: print-bin help run cluster-up build web page test check bench book chart-test docs-test image-test golden fuzz sim tools docs
.DEFAULT_GOAL := help

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: tools build ## Build what is missing and start Flamelake on port 4040 with data in ./data.
	exec $(FLAMELAKE) --target=all --storage.filesystem.dir=$(DATA) $(ARGS)

build: tools page ## Build the server and command line.
	cargo build $(CARGO_FLAGS) --workspace --bins

test: tools page ## Run all tests; real components are installed or their tests say that they skip.
	@scripts/install-tools.sh test
	@scripts/test-web.sh
	cargo test $(CARGO_FLAGS) --workspace --no-run
	cargo test $(CARGO_FLAGS) --workspace --no-fail-fast

check: tools ## What CI checks besides tests: format, lints, dependencies, documentation.
	@scripts/install-tools.sh check
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	cargo fetch --locked --quiet
	cargo deny --offline --log-level error check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --workspace --no-deps --document-private-items --quiet

web: ## Build the web page (web/dist), which the server holds; needs Node.
	@scripts/build-web.sh

page:
	@scripts/build-web.sh try

bench: tools build ## Measure: kernels by criterion, how they grow, then the load of docs/benchmarks.md against a fresh server.
	cargo bench --locked --profile release --workspace --bench '*' -- $(BENCH_ARGS)
	scripts/bench-growth.py
	scripts/bench-server.sh
	scripts/bench-drilldown.py
	scripts/bench-memory.py
	scripts/bench-cluster.sh

cluster-up: tools build ## Start a whole cluster as processes: etcd, an S3 server, every role more than once (data in ./data-cluster).
	scripts/install-tools.sh test
	scripts/cluster.sh $(ARGS)

chart-test: build ## Test the chart, the alerts, the dashboards and the links of the documentation.
	CHART_PODS=1 scripts/helm-test.sh

docs-test: build ## Run every command of the documentation on a real server, the quick start from a clean clone; check keys and links. DOCS_BUILD=1 builds there too.
	python3 scripts/docs-check.py
	python3 scripts/runbooks-check.py
	python3 scripts/links-check.py

image-test: build ## Build the image and run it without rights or network; start the systemd units. Needs root; bases come from Debian where there is no registry.
	scripts/install-tools.sh image
	scripts/install-tools.sh test
	scripts/systemd-test.sh
	scripts/image-test.sh

golden: build ## Play ../shared/golden (recorded answers) to a fresh server; skips where it is absent.
	scripts/golden.sh

fuzz: tools ## Run each fuzz target for FUZZ_SECONDS (default 60).
	scripts/fuzz.sh

sim: tools ## Play SEEDS (default 10000) simulated stories of faults; SEED=n plays one and prints its trace (docs/simulation.md).
	cargo build $(CARGO_FLAGS) --workspace --bin flamelake-sim
	$(CARGO_TARGET_DIR)/release/flamelake-sim

docs: build ## Rewrite what is generated: the pages of keys and metrics, the chart's schema, dashboards.
	UPDATE_GOLDEN=1 cargo test $(CARGO_FLAGS) --workspace --test command_line the_page_of_keys
	scripts/metrics-page.py
	scripts/chart-schema.py
	scripts/dashboards.py

book: ## Build the documentation as a site in ./book.
	scripts/install-tools.sh docs
	$(HOME)/.cache/flamelake/helm-venv/bin/mdbook build

print-bin:
	@echo $(CARGO_TARGET_DIR)/release

tools:
	@scripts/install-tools.sh build
