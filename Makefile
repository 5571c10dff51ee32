# How Phasecast is built, tested and shown. `make help` lists the targets.
#
# Each target first asks scripts/require for the programs it needs: Debian packages are installed by apt-get, and
# elsewhere the missing programs are named.

CARGO ?= cargo
GUEST_TARGET := x86_64-unknown-linux-gnu
TARGET := $(or $(CARGO_TARGET_DIR),target)
PHASECAST := $(TARGET)/release/phasecast
# Where the tests keep images, saved states and a second QEMU.
TEST_CACHE := $(or $(PHASECAST_CACHE),$(TARGET)/phasecast-cache)
# nextest where it is installed; its answer is the same as cargo test's, only sooner.
RUN_TESTS := $(shell command -v cargo-nextest >/dev/null 2>&1 && echo "nextest run --no-fail-fast" || echo "test --no-fail-fast")

NEEDS_BUILD := cc=gcc /usr/include/stdlib.h=libc6-dev
NEEDS_GUESTS := qemu-system-x86_64=qemu-system-x86 mke2fs=e2fsprogs
NEEDS_CONFORMANCE := qemu-x86_64=qemu-user valgrind=valgrind

# Claims about the emulated host that hold on the other QEMU too.
ON_QEMU_10 = PHASECAST_QEMU=10.0 PHASECAST_CACHE=$(abspath $(TEST_CACHE)) \
    $(CARGO) test -p tests --test laws --test physics --test emulated --

.DEFAULT_GOAL := help
.PHONY: help build guest lint test models quickstart survey nightly bench bench-python fuzz cargo

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

cargo:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	    echo "missing program: $(CARGO); install Rust 1.95 or newer from https://rustup.rs" >&2; exit 1; }
	@scripts/require $(NEEDS_BUILD)

build: cargo ## build phasecast and the QEMU plugins, optimised
	$(CARGO) build --release -p harness -p phasecast-plugin-api1 -p phasecast-plugin-api4

# The guest's programs run as PID 1 and in a Debian tree that is not ours: they bring their libraries with them.
guest: cargo ## build the static programs that go into the guest image
	RUSTFLAGS="-C target-feature=+crt-static" \
	    $(CARGO) build --release -p workloads --target $(GUEST_TARGET)

lint: cargo ## formatting and clippy, warnings are errors
	@{ $(CARGO) fmt --version && $(CARGO) clippy --version; } >/dev/null 2>&1 || { \
	    echo "cargo lacks fmt or clippy; run: rustup component add rustfmt clippy" >&2; exit 1; }
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The emulated tests load the plugin and boot the image, which `cargo test` alone does not build.
test: cargo guest ## all tests; REQUIRE_HOSTS=simulated,emulated,replayed,lab REQUIRE_TOOLS=1 make an absence a failure
	@scripts/require $(NEEDS_GUESTS) $(NEEDS_CONFORMANCE)
	$(CARGO) build --workspace
	$(TARGET)/debug/phasecast qemu install --cache $(TEST_CACHE) || \
	    echo "QEMU 10.0 could not be installed: what it is tested for passes as NOT TESTED" >&2
	$(CARGO) $(RUN_TESTS) --workspace
	if [ -d $(TEST_CACHE)/qemu/10.0 ]; then $(ON_QEMU_10) the_emulated_host_keeps_the_laws one_miss_under_way; fi
	$(CARGO) test --workspace --doc
	$(CARGO) test -p predictor --benches

models: build ## train the shipped models again from the traces beside them
	$(PHASECAST) train models/emulated-small-2x2/traces/*.parquet --out models/emulated-small-2x2 --phases 1-12 --seed 1

# Where there is no QEMU and none can be installed, the loop is shown on scripts.
quickstart: build ## the whole loop on real guests: image, solo runs, training, every policy, report; without QEMU on the simulated host
	@if scripts/require $(NEEDS_GUESTS); then \
	    $(MAKE) guest && $(PHASECAST) image build && $(PHASECAST) experiment run harness/experiments/quickstart.toml; \
	else \
	    echo "no QEMU for guests (above): the quickstart goes on with the simulated host, whose figures are arithmetic" >&2; \
	    $(PHASECAST) experiment run harness/experiments/quickstart-simulated.toml; \
	fi

# Into results/, which is committed: nothing in it is edited.
survey: build guest ## measure the test bed itself: every program alone, every pair, what results depend on; hours
	@scripts/require $(NEEDS_GUESTS)
	$(PHASECAST) survey solo
	$(PHASECAST) survey pairs
	$(PHASECAST) survey sensitivity
	$(PHASECAST) survey replay
	$(PHASECAST) survey sweep

bench: cargo ## time the decision path, and the simulated host
	$(CARGO) bench -p predictor
	$(CARGO) bench -p harness

bench-python: cargo ## k-means and Baum-Welch beside scikit-learn and hmmlearn, in a virtual environment
	bench/against-python

# libFuzzer on the stable compiler: the flags are those that cargo-fuzz sets. A target is needed, or build scripts get them too.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := perf_csv perf_json table trace model procfs ledger qmp resctrl config journal request
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares

fuzz: cargo ## throw bytes at every parser, FUZZ_SECONDS for each of FUZZ_TARGETS
	@scripts/require c++=g++
	cd fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --target $(GUEST_TARGET) --target-dir target
	cd fuzz && for target in $(FUZZ_TARGETS); do \
	    mkdir -p corpus/$$target artifacts/$$target && \
	    target/$(GUEST_TARGET)/release/$$target corpus/$$target seeds/$$target -artifact_prefix=artifacts/$$target/ \
	        -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 || exit 1; \
	done

test-libvirt: cargo ## guests of a real libvirt, bound through its API (feature libvirt)
	@scripts/require libvirtd=libvirt-daemon-system virsh=libvirt-clients /usr/include/libvirt/libvirt.h=libvirt-dev
	$(CARGO) clippy -p harness -p tests --all-targets --features tests/libvirt -- -D warnings
	$(CARGO) test -p tests --features libvirt --test libvirt

# Longer than CI may take: more cases for every property, every real program on every input, and the quickstart over a longer stretch of time.
nightly: build guest ## what takes longer than CI may
	@scripts/require $(NEEDS_GUESTS) $(NEEDS_CONFORMANCE)
	$(CARGO) build --workspace
	EMULATION_COSTS_AT_MOST=3 PROPTEST_CASES=5000 PHASECAST_PROGRAMS=all REQUIRE_HOSTS=simulated,emulated,replayed,lab REQUIRE_TOOLS=1 $(CARGO) $(RUN_TESTS) --workspace
	PHASECAST_SOAK_SECONDS=3600 $(CARGO) test -p tests --test daemon_on_guests -- --nocapture stay_flat
	$(MAKE) test-libvirt
	$(PHASECAST) image build
	$(PHASECAST) experiment run harness/experiments/quickstart.toml --quanta 1000
	$(TARGET)/debug/phasecast qemu install --cache $(TEST_CACHE)
	$(ON_QEMU_10)
	bench/instructions
