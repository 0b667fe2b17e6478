# SPDX-License-Identifier: BSD-3-Clause
# For people: everything is built by meson; this installs what is missing and calls it.
#
#   make build   all programs into build/, optimised; as root installs missing packages first (config/packages.txt)
#   make run     the above, then a server with the default configuration: 127.0.0.1:8000, no NIC needed
#                (ARGS="--config FILE --state DIR" is passed on)
#   make test    every test, with gcc and with clang and sanitizers; last line: N passed, N failed
#   make test-browser  the status page in headless Chromium (about 80 MB of packages); pictures in build/browser
#   make test-prometheus  alert rules and dashboard in a real Prometheus that scrapes a real server: half a minute (20 MB of packages)
#   make test-host  `rookctl host init`, a chat and `host fini` on a real PCI driver, in a QEMU guest (as root; two minutes; fetches QEMU and
#                a kernel of Debian's, some 150 MB)
#   make fuzz    each fuzz target for FUZZ_SECONDS (60); make fuzz-coverage: which lines the corpora reach
#   make model   the models of rings, tables, fences and provisioning, with spin; make tsan: ThreadSanitizer
#   make nightly the simulation, each profile in its turn: for MINUTES (480, a night), or SEEDS (100000) of each if those are done before, from START (1)
#                on, PROCESSES at once; stops at the first failure, ends with the totals
#   make planted can the simulation find mistakes? one planted at a time, the table of docs/simulation.md
#   make swarm   200 clients, 100,000 messages, 30% loss, and everything that can be killed is: 15 minutes (ARGS="CLIENTS MESSAGES
#                ROUNDS SEED" for another size); docs/reliability.md has the figures
#   make bench   the goals table, build/bench/latest.json and plots; under 10 minutes, best as root on a quiet machine
#                (ARGS="--huge" with reserved hugepages, "--sessions 1000000" with little memory); make plots: those of docs/ from it
#   make deb     Debian packages into build/deb; make test-deb: installs them on a minimal system with systemd, chats, upgrades, purges
#                (root; three minutes, and the mirror), after lintian
#   make clean   removes what the above built

BUILD ?= build
FUZZ_SECONDS ?= 60

# Packages first: meson would only name the first one missing.
build:
	@config/packages.sh build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD)
	@ninja -C $(BUILD) programs

run: build
	@exec $(BUILD)/rookery run $(ARGS)

test:
	@exec tests/run.sh

test-browser: build
	@config/packages.sh browser
	@tests/browser.sh $(BUILD) $(BUILD)/browser

test-prometheus: build
	@config/packages.sh prometheus
	@tests/prometheus.sh $(BUILD)

test-host: build
	@config/packages.sh test host
	@ninja -C $(BUILD) tests/e2e/test_e2e_guest
	@ROOKERY_BUILD=$(abspath $(BUILD)) ROOKERY_SOURCE=$(CURDIR) timeout 900 $(BUILD)/tests/e2e/test_e2e_guest

fuzz:
	@exec tests/fuzz/run.sh $(FUZZ_SECONDS)

SEEDS ?= 100000
START ?= 1
PROCESSES ?= $(shell nproc)
MINUTES ?= 480

nightly: build
	@ninja -C $(BUILD) rooksim
	@tests/sim/nightly.sh $(BUILD)/rooksim $(SEEDS) $(PROCESSES) $(START) $(MINUTES)

planted:
	@tests/sim/planted.sh

swarm: build
	@ninja -C $(BUILD) tests/e2e/test_e2e_swarm
	@ROOKERY_BUILD=$(abspath $(BUILD)) $(BUILD)/tests/e2e/test_e2e_swarm full $(ARGS)

fuzz-coverage:
	@exec tests/fuzz/coverage.sh

model:
	@exec tests/model/run.sh

tsan:
	@exec tests/tsan/run.sh

bench: build
	@config/packages.sh bench || echo "without them plots and veth_vs_kernel are missing" >&2
	@ninja -C $(BUILD) bench
	@$(BUILD)/rookbench --dir $(BUILD)/bench $(ARGS)
	@if command -v gnuplot >/dev/null; then gnuplot -e "dir='$(BUILD)/bench'; out='$(BUILD)/bench'" bench/plots.gp; fi

# From the figures of the last `make bench`.
plots:
	@gnuplot -e "dir='$(BUILD)/bench'; out='docs/plots'" bench/plots.gp

deb:
	@config/packages.sh build deb
	@config/debian/build.sh $(BUILD)/deb

test-deb: deb
	@config/packages.sh test-deb
	@lintian --fail-on warning --tag-display-limit 0 $(BUILD)/deb/*.changes
	@tests/deb/run.sh $(BUILD)/deb

clean:
	rm -rf $(BUILD) build-sanitize build-fuzz build-coverage build-tsan build-tsan-planted build-planted

.PHONY: build run test test-browser test-prometheus test-host fuzz nightly planted swarm bench plots deb test-deb clean fuzz-coverage model tsan
