# make demo    build, then show the whole thing on this machine (root; nothing is left behind)
# make test    build, then every test (root)
# make lint    clippy, rustfmt, cargo-deny
# make bench   build for speed, then measure everything (root, about forty minutes); prints figures, passes or fails nothing
# make bench-quick   rough figures of the data path (root, 3 minutes)
# make chaos   everything broken at random, beneath traffic that proves itself (root); make chaos SEEDS=100 SEED=1 (20 s a seed)
# make soak    mixed traffic for half an hour, and what is held before and after (root); make soak SECONDS=180
# make manifests   render the Helm chart into deploy/manifests
# make fuzz    build the fuzz targets for libFuzzer, then run each for a minute or less; make fuzz TARGET=engine SECONDS=600 runs one
# make advisories   known vulnerabilities of what the programs are built of (needs the network)
# make sbom    what each program is built of, as CycloneDX, into target/sbom, and checked
# make reproducible   build the programs as for images, twice, as two people would, and compare; make reproducible PROGRAMS=culvert-node
# make memory  run the tests of the one crate with `unsafe` under AddressSanitizer and valgrind
# make miri    run those of them under Miri that make no system calls it does not know (a nightly compiler)
# make fips    build the programs with the module that is validated for FIPS 140-3, into target/fips, and test what uses it
#
# Each target installs what it needs when it is missing (Debian or Ubuntu with a Rust toolchain).

PROGRAMS := culvert-node culvert-agent culvert-control culvert
BUILD    := cargo build --locked $(addprefix -p ,$(PROGRAMS))

.PHONY: all build demo test lint bench bench-quick chaos soak fuzz manifests advisories sbom reproducible memory miri fips \
	setup setup-fuzz setup-lint setup-test setup-sbom setup-reproducible setup-memory setup-miri setup-fips

all: build

build:
	$(BUILD)

demo: setup
	$(BUILD)
	./target/debug/culvert demo $(DEMO_FLAGS)

# $(call within,SECONDS): what runs a program of tests, for so long at most. A test that hangs is then a failure, which has a name.
within = --config 'target."cfg(unix)".runner=["$(CURDIR)/tests/within.py","$(1)"]'

# Unit tests first, the conformance suite last: its summary is the last line. It is picked out of the whole workspace, for then most of
# what it needs is there already: cargo gives the crates of a selection the features that this selection asks for.
test: setup setup-test
	$(BUILD)
	cargo test --locked --workspace --exclude conformance $(call within,600)
	cargo test --locked --workspace --test conformance $(call within,3000)

lint: setup-lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --locked check bans licenses sources

# BENCH_FLAGS: see target/release/culvert-bench path --help.
bench bench-quick: setup setup-test
	$(BUILD) --release -p culvert-bench
	./target/release/culvert-bench path $(if $(filter bench,$@),--mesh --watched --attacked --push,--quick) \
		--json target/$@.json --markdown target/$@.md $(BENCH_FLAGS)

chaos: setup setup-test
	$(BUILD)
	CULVERT_CHAOS_SEEDS=$(or $(SEEDS),100) CULVERT_CHAOS_SEED=$(or $(SEED),random) $(if $(SECONDS),CULVERT_CHAOS_SECONDS=$(SECONDS)) \
		cargo test --locked --workspace --test conformance traffic_survives_chaos:: -- --nocapture

soak: setup setup-test
	$(BUILD)
	CULVERT_SOAK_SECONDS=$(or $(SECONDS),1800) CULVERT_CHAOS_SEED=$(or $(SEED),random) cargo test --locked --workspace --test conformance a_long_run_leaves_nothing:: -- --nocapture

manifests: setup-test
	echo '{"chart": "deploy/helm/culvert"}' | target/charts/bin/python tests/peers/chart.py manifest > deploy/manifests/culvert.yaml

fuzz: setup setup-fuzz
	./fuzz/run.sh $(TARGET) $(if $(TARGET),$(SECONDS))

advisories: setup-lint
	cargo deny --locked check advisories

sbom: setup-sbom
	./deploy/sbom/write.sh $(PROGRAMS)

reproducible: setup-reproducible
	./deploy/image/reproducible.sh $(PROGRAMS)

# Sanitizers are for nightly compilers; this setting has a stable one take their flag, for a build that nobody runs but this. The sampler reads
# the real stack, so variables stay on it. What waits for children by descriptors is a system call that valgrind does not know.
MEMORY = cargo test --locked -p culvert-sys --lib --target $(HOST)
memory: HOST = $(shell rustc -vV | sed -n 's/^host: //p')
memory: setup-memory
	ASAN_OPTIONS=detect_stack_use_after_return=0 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(MEMORY) --target-dir target/memory/address
	$(MEMORY) --target-dir target/memory/valgrind --config 'target."cfg(unix)".runner=["valgrind","--quiet","--error-exitcode=99"]' \
		-- --skip child::tests

# What parses what the kernel answers, and what draws and copies for profiles.
miri: setup-miri
	cargo +nightly miri test --locked -p culvert-sys --lib --target-dir target/memory/miri -- netlink:: among_other_attributes \
		bytes_are_drawn a_list_that_changed an_answer_that_is_cut_off the_start_is_found words_outside what_is_cut_off \
		since_then_counts an_old_kernel_does_not_tell what_is_not_a_connection ports_beside_them windows_are_within

# Programs first: one that is not validated is of no use, whatever its tests say.
FIPS := --locked --target-dir target/fips --features fips -p culvert-node -p culvert-control -p culvert-agent
fips: setup setup-fips
	cargo build --release $(FIPS)
	cargo test --locked --target-dir target/fips --features fips -p culvert-tls
	cargo test $(FIPS) crypto
	./target/fips/release/culvert-node version | grep -F '(aws-lc-fips)'

setup:
	@./setup.sh packages

setup-test:
	@./setup.sh peers

setup-fuzz:
	@./setup.sh fuzz

setup-lint:
	@./setup.sh cargo-deny

setup-sbom:
	@./setup.sh sbom

setup-reproducible:
	@./setup.sh reproducible

setup-memory:
	@./setup.sh memory

setup-miri:
	@./setup.sh miri

setup-fips:
	@./setup.sh fips
