# The entry points; `make help` lists them. Needed: rustup and python3. Everything else is fetched on first use.

CARGO ?= cargo
# Pinned: a new version of a linter is a change of its own.
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := target/tools/bin/cargo-deny

.DEFAULT_GOAL := help
.PHONY: help run run-envoy test test-matrix soak bench wasm lint wasm-target wasm-trap envoy lint-tools

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: wasm ## the filter on a laptop: a demo policy, a target, tokens, and four curl lines to paste
	@echo "==> policy-host (the first build compiles wasmtime: about 6 minutes on 2 cores)"
	@$(CARGO) run --locked --quiet --bin policy-host -- serve --demo

run-envoy: wasm envoy ## the same on real Envoy
	@$(CARGO) run --locked --quiet --bin run-envoy

test: wasm envoy wasm-trap ## every test there is, real Envoy included
	@echo "==> all tests"
	$(CARGO) test --locked --no-fail-fast

soak: wasm envoy ## five minutes of upgrades under load in a real Envoy
	SOAK_SECONDS=300 $(CARGO) test --locked -p chaperone-tests --test envoy_soak -- --nocapture

test-matrix: wasm wasm-trap ## the tests of the shipped wiring with Envoy 1.36 to 1.40 (40 minutes on 2 cores, 190 MB the first time); MATRIX="1.36.4 envoy_streams" for less
	@$(CARGO) run --locked --quiet --bin test-matrix -- $(MATRIX)

bench: wasm envoy ## what a request costs beside Envoy's own filters (Linux, 3 minutes); BENCH="--rounds 5 --only warm" for less
	@$(CARGO) run --locked --quiet --bin bench -- $(BENCH)

wasm: wasm-target ## build target/wasm32-wasip1/wasm/chaperone.wasm
	@echo "==> the filter, for wasm32-wasip1 (about 2 minutes the first time)"
	@$(CARGO) build --locked --quiet -p chaperone-filter --target wasm32-wasip1 --profile wasm
	@ls -l target/wasm32-wasip1/wasm/chaperone.wasm

lint: wasm-target lint-tools ## formatting, clippy for all targets, licences and sources of the dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked -p chaperone-filter --target wasm32-wasip1 -- -D warnings
	$(CARGO) clippy --locked -p chaperone-authoring --target wasm32-unknown-unknown -- -D warnings
	$(CARGO_DENY) --locked check bans licenses sources

# The filter's target, and the one of a page, for which `authoring` must build.
wasm-target:
	@for target in wasm32-wasip1 wasm32-unknown-unknown; do \
		rustup target list --installed | grep -qx $$target || { echo "==> adding the $$target target"; rustup target add $$target; }; \
	done

# The test-only build that can be made to trap. Its own folder: it can never be taken for the filter that ships.
wasm-trap: wasm-target
	@echo "==> the filter once more, able to trap (tests only)"
	@$(CARGO) run --locked --quiet --bin run-envoy -- build-trapping

envoy:
	@echo "==> Envoy (a 36 MB download the first time) and what drives it (the first build compiles wasmtime: about 6 minutes on 2 cores)"
	@$(CARGO) run --locked --quiet --bin run-envoy -- install

lint-tools: $(CARGO_DENY)
	@rustup component list --installed | grep -q '^clippy' || { echo "==> adding clippy and rustfmt"; rustup component add clippy rustfmt; }

$(CARGO_DENY):
	@echo "==> cargo-deny $(CARGO_DENY_VERSION) (once, about 2 minutes)"
	@$(CARGO) install --quiet --debug --locked cargo-deny --version $(CARGO_DENY_VERSION) --root target/tools --target-dir target/tools/build
