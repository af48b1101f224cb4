# SPDX-License-Identifier: GPL-2.0
#
# Benchmarks, named as those of selftests/bpf and built by its rules, in the tree
# of links. Its own bench.c is for operations per second, and links the
# benchmarks that it knows by name: what is compared here is of another kind.

BENCH_BPF := $(TREE_SELFTESTS)/bpf
BENCH_OBJS := $(patsubst benchs/%.c,$(BUILD)/bpf/%.o,$(wildcard benchs/bench_*.c)) \
	      $(addprefix $(BUILD)/bpf/,network_helpers.o cgroup_helpers.o testing_helpers.o)
# Older trees have no such example
BENCH_TREE_PROG := $(wildcard $(SELFTESTS)/bpf/progs/mptcp_subflow.c)
BENCH_PROGS := $(filter-out $(if $(BENCH_TREE_PROG),,%_tree.c),$(wildcard $(CURDIR)/benchs/mptcp_mark_*.c)) \
	       $(BENCH_TREE_PROG)
BENCH_BPF_OBJS := $(patsubst %.c,$(BUILD)/bpf/%.bpf.o,$(notdir $(BENCH_PROGS)))
BENCH_RESULTS := $(BUILD)/bench.jsonl

.PHONY: bench_build
bench_build: harness
	$(Q)ln -sfn $(CURDIR)/benchs $(BENCH_BPF)
	$(Q)$(RM) -r $(BENCH_BPF)/bench_progs
	$(Q)$(call link,$(wildcard $(BENCH_BPF)/progs/*.h) $(BENCH_PROGS),$(BENCH_BPF)/bench_progs)
	$(Q)$(RM) $(BUILD)/bpf/bench_*.o $(BUILD)/bpf/mptcp_mark_bench*.bpf.o \
		$(BUILD)/bpf/mptcp_subflow.bpf.o
	+$(Q)$(MAKE) -C $(BENCH_BPF) OUTPUT=$(BUILD)/bpf $(BPF_TOOLCHAIN) $(BPF_PATHS) $(NOT_OURS) \
		TRUNNER_BPF_PROGS_DIR=bench_progs $(BENCH_OBJS) $(BENCH_BPF_OBJS)
	$(Q)$(CC) $(BENCH_OBJS) $(shell find $(BUILD)/bpf/tools -name libbpf.a) -lelf -lz -lpthread \
		-o $(BUILD)/bpf/bench_mptcp_mark

# BENCH=name, or several; all without
.PHONY: bench
bench: bench_build
	$(Q)cd $(BUILD)/bpf && ./bench_mptcp_mark $(BENCH_RESULTS) $(BENCH)
