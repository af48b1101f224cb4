# SPDX-License-Identifier: GPL-2.0
#
# The C tests run in the tree's own test_progs. It is built by the rules
# of selftests/bpf, unchanged, in a tree of symbolic links that differs from the
# real one in this alone: bpf/progs and bpf/prog_tests hold our files. Nothing
# is written to the real tree.

KSRC ?= ../../../..
override KSRC := $(abspath $(KSRC))
SELFTESTS := $(KSRC)/tools/testing/selftests
LIB_MK ?= $(SELFTESTS)/lib.mk

ifeq ($(OUTPUT),)
OUTPUT := $(if $(O),$(abspath $(O))/kselftest/mptcp_mark,$(CURDIR))
endif
override OUTPUT := $(or $(realpath $(OUTPUT)),$(abspath $(OUTPUT)))
ifneq ($(OUTPUT),$(CURDIR))
building_out_of_srctree := 1
endif

BUILD := $(OUTPUT)/build
TREE_SELFTESTS := $(BUILD)/tree/tools/testing/selftests

TEST_PROGS := mptcp_mark_progs.sh
TEST_PROGS += mptcp_mark.sh
# What they source
TEST_FILES := mptcp_mark_lib.sh
TEST_FILES += mptcp_mark_env.sh
TEST_FILES += mptcp_mark_up.sh
TEST_FILES += mptcp_mark_policy.sh
TEST_GEN_PROGS_EXTENDED := test_progs
TEST_GEN_PROGS_EXTENDED += mptcp_mark_user

ifneq ($(OBJ_PATH),)
TEST_INCLUDES := $(SELFTESTS)/net/lib.sh \
		 $(wildcard $(SELFTESTS)/net/lib/sh/*.sh $(SELFTESTS)/net/net_helper.sh)
endif

override define CLEAN
	$(RM) -r $(BUILD) $(addprefix $(OUTPUT)/,test_progs mptcp_mark_user mptcp_mark_user.8) \
		$(if $(building_out_of_srctree),$(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES)))
endef

# Where plain clang is too old for the tree, the newest installed clang-N
ifeq ($(origin CLANG)$(LLVM),undefined)
CLANG_MIN = $(shell $(KSRC)/scripts/min-tool-version.sh llvm)
CLANGS = clang $(shell printf '%s\n' $(notdir $(wildcard \
	 $(addsuffix /clang-[1-9]*[0-9],$(subst :, ,$(PATH))))) | sort -Vru)
FOUND_CLANG = $(shell for c in $(CLANGS); do \
			v=$$($$c -dumpversion 2>/dev/null) && \
			printf '%s\n' $(CLANG_MIN) $$v | sort -VC && echo $$c && break; \
		      done)
NO_CLANG = $(error no clang $(CLANG_MIN) or newer, what this tree needs: install one, or give CLANG=)
BPF_TOOLCHAIN = $(foreach c,$(or $(FOUND_CLANG),$(NO_CLANG)), \
		CLANG=$(c) LLVM_STRIP=$(or $(LLVM_STRIP),llvm-strip$(c:clang%=%)))
endif

OVERRIDE_TARGETS := 1
include $(LIB_MK)
MAKEFLAGS += --no-print-directory

# The tree of links. $1: files, $2: folder to link them into
link = mkdir -p $2 && ln -sfn $1 $2
# What building in the real tree may have left there
BPF_BUILT := %.skel.h %.lskel.h %.subskel.h %/verification_cert.h %/tools
BPF_FILES := $(filter-out $(BPF_BUILT),$(wildcard $(addprefix $(SELFTESTS)/bpf/, \
	     *.[ch] *.sh Makefile* map_tests verifier benchs libarena test_kmods)))

.PHONY: tree
tree:
	$(Q)$(call link,$(filter-out %/tools,$(wildcard $(KSRC)/*)),$(BUILD)/tree)
	$(Q)$(call link,$(filter-out %/testing,$(wildcard $(KSRC)/tools/*)),$(BUILD)/tree/tools)
	$(Q)$(call link,$(filter-out %/bpf %/mptcp_mark,$(wildcard $(SELFTESTS)/*)),$(TREE_SELFTESTS))
	$(Q)ln -sfn $(CURDIR) $(TREE_SELFTESTS)/mptcp_mark
	$(Q)$(call link,$(BPF_FILES),$(TREE_SELFTESTS)/bpf)
	$(Q)mkdir -p $(addprefix $(TREE_SELFTESTS)/bpf/,progs prog_tests)
	$(Q)find $(TREE_SELFTESTS)/bpf -path '*/prog*/*' -type l -delete
	$(Q)ln -s $(wildcard $(SELFTESTS)/bpf/progs/*.h $(CURDIR)/progs/*.[ch]) $(TREE_SELFTESTS)/bpf/progs
	$(Q)$(if $(wildcard prog_tests/*),ln -s $(wildcard $(CURDIR)/prog_tests/*) $(TREE_SELFTESTS)/bpf/prog_tests)

# Names relative to the caller's folder, as the sub-make has another
BPF_PATHS := $(foreach v,BPFTOOL VMLINUX_BTF VMLINUX_H,$(if $($(v)),$(v)=$(abspath $($(v)))))

# The tests that are not ours, and what only they need
NOT_OURS := LSKELS= LSKELS_EXTRA= LSKELS_SIGNED= LINKED_SKELS= \
	    TRUNNER_EXTRA_FILES= LIBARENA_SKEL= LIBARENA_ASAN_SKEL= \
	    SKIP_DOCS=1 SKIP_LLVM=1 SKIP_LIBBFD=1 SKIP_CRYPTO=1

# The same for trees that have no SKIP_LLVM: its library is not on every machine
NOT_OURS += feature-llvm=0

.PHONY: harness
harness: tree
	$(Q)mkdir -p $(BUILD)/bpf
	+$(Q)$(MAKE) $(if $(findstring j,$(MAKEFLAGS)),,-j$(shell nproc)) \
		-C $(TREE_SELFTESTS)/bpf OUTPUT=$(BUILD)/bpf $(BPF_TOOLCHAIN) \
		$(BPF_PATHS) $(NOT_OURS) $(BUILD)/bpf/test_progs

$(OUTPUT)/test_progs: harness
	$(Q)cp -u $(BUILD)/bpf/$(@F) $@

# Of the skeletons, libbpf and the JSON writer that test_progs is built with
USER_INCLUDES := $(BUILD)/bpf $(BUILD)/bpf/tools/include $(KSRC)/tools/include/uapi \
		 $(KSRC)/tools/include $(SELFTESTS)/bpf

$(OUTPUT)/mptcp_mark_user: $(wildcard mptcp_mark_user*.c) harness
	$(Q)$(CC) -g -O2 -Wall $(addprefix -I,$(USER_INCLUDES)) $(filter %.c,$^) \
		$(BUILD)/bpf/json_writer.o $(BUILD)/bpf/tools/build/libbpf/libbpf.a -lelf -lz -o $@

# Beside what they run, where that is not here: they find the rest from there
ifneq ($(building_out_of_srctree),)
all: $(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES))

$(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES)): $(OUTPUT)/%: % harness
	$(Q)cp -u $< $@
endif
