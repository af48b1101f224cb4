# SPDX-License-Identifier: GPL-2.0
#
# Benchmarks, named as those of selftests/bpf and built by its rules, in the tree
# of links. They are not for its bench.c, which counts operations per second and
# knows its benchmarks by name.

BENCH_BPF := $(TREE_SELFTESTS)/bpf
BENCH_OBJS := $(patsubst benchs/%.c,$(BUILD)/bpf/%.o,$(wildcard benchs/bench_*.c)) \
	      $(addprefix $(BUILD)/bpf/,network_helpers.o cgroup_helpers.o testing_helpers.o)
# The tree's own example, to compare with: older trees have none
BENCH_PROGS := $(CURDIR)/benchs/mptcp_mark_bench.c \
	       $(wildcard $(SELFTESTS)/bpf/progs/mptcp_subflow.c)
BENCH_BPF_OBJS := $(patsubst %.c,$(BUILD)/bpf/%.bpf.o,$(notdir $(BENCH_PROGS)))

.PHONY: bench_build
bench_build: harness
	$(Q)ln -sfn $(CURDIR)/benchs $(BENCH_BPF)
	$(Q)$(RM) -r $(BENCH_BPF)/bench_progs
	$(Q)$(call link,$(wildcard $(BENCH_BPF)/progs/*.h) $(BENCH_PROGS),$(BENCH_BPF)/bench_progs)
	$(Q)$(RM) $(BUILD)/bpf/bench_*.o $(BENCH_BPF_OBJS)
	+$(Q)$(BPF_MAKE) TRUNNER_BPF_PROGS_DIR=bench_progs $(BENCH_OBJS) $(BENCH_BPF_OBJS)
	$(Q)$(CC) $(BENCH_OBJS) $(BUILD)/bpf/tools/build/libbpf/libbpf.a -lelf -lz -lpthread \
		-o $(BUILD)/bpf/bench_mptcp_mark

# BENCH=name, or several; all without
.PHONY: bench
bench: bench_build
	$(Q)scripts/bench.sh $(BUILD)/bpf $(BUILD)/bench.jsonl $(BENCH)
