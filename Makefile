# SPDX-License-Identifier: GPL-2.0
#
# The C tests run in the tree's own test_progs. It is built by the rules
# of selftests/bpf, unchanged, in a tree of symbolic links that differs from the
# real one in this alone: bpf/progs and bpf/prog_tests hold our files. Nothing
# is written to the real tree.

# In a kernel tree, use that tree: KSRC in the environment may be another one
ifneq ($(wildcard ../lib.mk),)
KSRC := ../../../..
endif

# To make, a name with a space is two names, and clean would remove what each stands for
ifneq ($(words x$(CURDIR) x$(KSRC) x$(O) x$(OUTPUT) x$(INSTALL_PATH)),5)
$(error a folder has a space in its name: this one, KSRC=, O=, OUTPUT= or INSTALL_PATH=)
endif

override KSRC := $(realpath $(KSRC))
SELFTESTS := $(KSRC)/tools/testing/selftests
LIB_MK ?= $(SELFTESTS)/lib.mk

ifeq ($(OUTPUT),)
OUTPUT := $(if $(O),$(abspath $(O))/kselftest/mptcp_mark,$(CURDIR))
endif
override OUTPUT := $(or $(realpath $(OUTPUT)),$(abspath $(OUTPUT)))
ifneq ($(OUTPUT),$(CURDIR))
building_out_of_srctree := 1
endif

# Not the BUILD of the selftests' Makefile, which may be on the command line
override BUILD := $(OUTPUT)/build
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

# Only when the selftests' Makefile installs: else lib.mk would copy these to /
ifneq ($(OBJ_PATH),)
TEST_INCLUDES := $(SELFTESTS)/net/lib.sh \
		 $(wildcard $(SELFTESTS)/net/lib/sh/*.sh $(SELFTESTS)/net/net_helper.sh)
endif

override define CLEAN
	$(RM) -r $(BUILD) $(addprefix $(OUTPUT)/,test_progs mptcp_mark_user mptcp_mark_user.8) \
		$(if $(building_out_of_srctree),$(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES)))
endef

# The compiler for BPF: clang, or the newest installed clang-N where that is too old
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
else ifneq ($(filter clang-%,$(CLANG)),)
# The programs of bpftool are stripped by the same version
BPF_TOOLCHAIN = LLVM_STRIP=$(or $(LLVM_STRIP),$(CLANG:clang%=llvm-strip%))
endif

OVERRIDE_TARGETS := 1
include $(LIB_MK)

# The tree of links. $1: files, $2: folder to link them into
link = mkdir -p $2 && ln -sfn $1 $2
# Not what a build in the real tree has left there: it would be written to
BPF_BUILT := %.skel.h %.lskel.h %.subskel.h %/verification_cert.h
BPF_FILES := $(filter-out $(BPF_BUILT),$(wildcard $(addprefix $(SELFTESTS)/bpf/, \
	     *.[ch] *.sh Makefile* libarena)))
# Our programs, and the tree's headers. With SERIES=bpf applied, it has some of ours, too
OUR_PROGS := $(wildcard $(CURDIR)/progs/*.[ch])
BPF_HEADERS := $(filter-out $(addprefix %/,$(notdir $(OUR_PROGS))), \
	       $(wildcard $(SELFTESTS)/bpf/progs/*.h))

.PHONY: tree
tree:
	@# Objects of another tree would stay, where they are newer than the files of this one
	$(Q)[ "$$(readlink $(BUILD)/tree/Makefile)" = $(KSRC)/Makefile ] || \
		$(RM) -r $(BUILD)/tree $(BUILD)/bpf
	$(Q)$(call link,$(filter-out %/tools,$(wildcard $(KSRC)/*)),$(BUILD)/tree)
	$(Q)$(call link,$(filter-out %/testing,$(wildcard $(KSRC)/tools/*)),$(BUILD)/tree/tools)
	$(Q)$(call link,$(filter-out %/bpf %/mptcp_mark,$(wildcard $(SELFTESTS)/*)),$(TREE_SELFTESTS))
	$(Q)ln -sfn $(CURDIR) $(TREE_SELFTESTS)/mptcp_mark
	$(Q)$(call link,$(BPF_FILES),$(TREE_SELFTESTS)/bpf)
	$(Q)mkdir -p $(addprefix $(TREE_SELFTESTS)/bpf/,progs prog_tests)
	$(Q)find $(addprefix $(TREE_SELFTESTS)/bpf/,progs prog_tests) -type l -delete
	$(Q)ln -s $(BPF_HEADERS) $(OUR_PROGS) $(TREE_SELFTESTS)/bpf/progs
	$(Q)ln -s $(wildcard $(CURDIR)/prog_tests/*) $(TREE_SELFTESTS)/bpf/prog_tests

# Names relative to the caller's folder, as the sub-make has another
BPF_PATHS := $(foreach v,O BPFTOOL VMLINUX_BTF VMLINUX_H,$(if $($(v)),$(v)=$(abspath $($(v)))))

# What test_progs would build besides: tests that are not ours, those of libarena/ even
# in the real tree. And libraries that not every machine has
NOT_OURS := LSKELS= LSKELS_EXTRA= LSKELS_SIGNED= LINKED_SKELS= TRUNNER_EXTRA_FILES= \
	    LIBARENA_SKEL= LIBARENA_ASAN_SKEL= feature-llvm=0 SKIP_LIBBFD=1 SKIP_CRYPTO=1

BPF_MAKE = $(MAKE) $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc)) \
	   -C $(TREE_SELFTESTS)/bpf OUTPUT=$(BUILD)/bpf $(BPF_TOOLCHAIN) $(BPF_PATHS) $(NOT_OURS)

.PHONY: harness
harness: tree
	$(Q)mkdir -p $(BUILD)/bpf
	+$(Q)$(BPF_MAKE) $(BUILD)/bpf/test_progs

$(OUTPUT)/test_progs: harness
	$(Q)cp -u $(BUILD)/bpf/$(@F) $@

# Of the skeletons, libbpf and the JSON writer that test_progs is built with, in its order
USER_INCLUDES := $(BUILD)/bpf $(BUILD)/bpf/tools/include $(KSRC)/tools/include \
		 $(KSRC)/tools/include/uapi $(SELFTESTS)/bpf

$(OUTPUT)/mptcp_mark_user: $(wildcard mptcp_mark_user*.c) harness
	$(Q)$(CC) $(CFLAGS) -g -O2 -Wall $(addprefix -I,$(USER_INCLUDES)) $(filter %.c,$^) \
		$(BUILD)/bpf/json_writer.o $(BUILD)/bpf/tools/build/libbpf/libbpf.a $(LDFLAGS) -lelf -lz -o $@

# Built elsewhere: the scripts look for test_progs, and for each other, beside themselves
ifneq ($(building_out_of_srctree),)
all: $(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES))

$(addprefix $(OUTPUT)/,$(TEST_PROGS) $(TEST_FILES)): $(OUTPUT)/%: % | harness
	$(Q)cp -u $< $@
endif
