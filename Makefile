# SPDX-License-Identifier: GPL-2.0
#
# One file for every home of these sources:
#   in a kernel tree, as tools/testing/selftests/mptcp_mark: that tree
#   elsewhere, with KSRC=/path/to/linux: the tree named
#   elsewhere, without KSRC: the tree that "make setup" provided
#
# The C tests run in the tree's own test_progs. It is built by the rules
# of selftests/bpf, unchanged, in a tree of symbolic links that differs from the
# real one in this alone: bpf/progs and bpf/prog_tests hold our files. Nothing
# is written to the real tree.

# The first tree whose test_progs has what our tests use: netns_new()
MIN_TREE := 6.12

# The cache of the user who calls, under sudo too
CACHE := $(or $(XDG_CACHE_HOME),$(shell eval echo "~$${SUDO_USER:-}")/.cache)
SETUP_DIR := $(CACHE)/mptcp_mark

define HELP
Targets:
  all           build test_progs and the BPF objects (the default)
  run_tests     build, then run the tests; needs root
  demo          a download over three marked subflows, shown; needs root
  install       copy what the tests need to INSTALL_PATH
  check         checkpatch --strict and shellcheck
  clean         remove what was built
  setup         install the packages needed; without KSRC, get a kernel tree
  help          this text

Variables:
  KSRC=DIR      kernel source tree, $(MIN_TREE) or newer
  O=DIR         build below DIR/kselftest/mptcp_mark
  OUTPUT=DIR    build in DIR
  CLANG=CMD     compiler for BPF programs
  BPFTOOL=FILE  bpftool for skeletons, instead of the tree's
  VMLINUX_BTF=FILE  BTF to take vmlinux.h from
  V=1           show the commands
endef

ifneq ($(filter setup,$(MAKECMDGOALS)),)

# The other goals need a tree that may be there only after setup
OTHER_GOALS := $(filter-out setup,$(MAKECMDGOALS))
.NOTPARALLEL:
.PHONY: setup $(OTHER_GOALS)

setup:
	@scripts/setup.sh $(if $(KSRC)$(wildcard ../lib.mk),-k,-d "$(SETUP_DIR)")

$(OTHER_GOALS): setup
	+@$(MAKE) --no-print-directory $@

else

IN_TREE := $(wildcard ../lib.mk)
ifneq ($(IN_TREE),)
override KSRC := ../../../..
else
KSRC ?= $(wildcard $(SETUP_DIR)/linux)
endif
override KSRC := $(if $(KSRC),$(abspath $(KSRC)))
SELFTESTS := $(KSRC)/tools/testing/selftests

OUTPUT_GIVEN := $(OUTPUT)
ifeq ($(OUTPUT),)
OUTPUT := $(if $(O),$(abspath $(O))/kselftest/mptcp_mark,$(CURDIR))
endif
override OUTPUT := $(or $(realpath $(OUTPUT)),$(abspath $(OUTPUT)))

BUILD := $(OUTPUT)/build
TREE_SELFTESTS := $(BUILD)/tree/tools/testing/selftests
# What mptcp_mark.sh loads; test_progs has its own copies inside
BPF_OBJS := mptcp_mark.bpf.o mptcp_mark_show.bpf.o mptcp_mark_mptcpify.bpf.o

TEST_GEN_PROGS := test_progs
TEST_PROGS := mptcp_mark.sh
TEST_GEN_FILES := $(BPF_OBJS)

override define CLEAN
	$(RM) -r $(BUILD) $(addprefix $(OUTPUT)/,test_progs $(BPF_OBJS)) \
		$(if $(filter-out $(CURDIR),$(OUTPUT)),$(OUTPUT)/mptcp_mark.sh)
endef

.DEFAULT_GOAL := all

.PHONY: help
help:
	$(info $(HELP))
	@:

ifeq ($(filter-out clean help,$(or $(MAKECMDGOALS),all)),)

clean:
	$(CLEAN)

else # a goal that needs the tree

ifeq ($(KSRC),)
$(error no kernel tree: run "make setup", or give KSRC=/path/to/linux, or build in tools/testing/selftests/mptcp_mark of a tree)
endif
ifeq ($(wildcard $(SELFTESTS)/lib.mk),)
$(error KSRC=$(KSRC) is no kernel source tree: it has no tools/testing/selftests/lib.mk. Give the top folder of one)
endif
ifeq ($(shell grep -s netns_new $(SELFTESTS)/bpf/test_progs.h),)
$(error KSRC=$(KSRC) is Linux $(shell $(MAKE) -s -C $(KSRC) kernelversion), too old: give Linux $(MIN_TREE) or newer)
endif

# Where plain clang is too old for the tree, the newest installed clang-N
ifeq ($(origin CLANG)$(LLVM),undefined)
CLANG_MIN := $(shell $(KSRC)/scripts/min-tool-version.sh llvm)
CLANGS := clang $(shell printf '%s\n' $(notdir $(wildcard \
	  $(addsuffix /clang-[1-9]*[0-9],$(subst :, ,$(PATH))))) | sort -Vru)
CLANG := $(shell for c in $(CLANGS); do \
		   v=$$($$c -dumpversion 2>/dev/null) && \
		   printf '%s\n' $(CLANG_MIN) $$v | sort -VC && echo $$c && break; \
		 done)
ifeq ($(CLANG),)
$(error no clang $(CLANG_MIN) or newer, what this tree needs: run "make setup", or give CLANG=)
endif
LLVM_STRIP ?= llvm-strip$(CLANG:clang%=%)
BPF_TOOLCHAIN := CLANG=$(CLANG) LLVM_STRIP=$(LLVM_STRIP)
endif

ifneq ($(V),1)
Q := @
endif

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
	$(Q)find $(TREE_SELFTESTS)/bpf -path '*/prog*/*' -type l -delete
	$(Q)$(call link,$(wildcard $(SELFTESTS)/bpf/progs/*.h),$(TREE_SELFTESTS)/bpf/progs)
	$(Q)$(call link,$(wildcard $(CURDIR)/progs/*.[ch]),$(TREE_SELFTESTS)/bpf/progs)
	$(Q)$(call link,$(wildcard $(CURDIR)/prog_tests/*.[ch]),$(TREE_SELFTESTS)/bpf/prog_tests)

ifeq ($(OBJ_PATH)$(filter-out install gen_tar,$(or $(MAKECMDGOALS),all)),)

# The selftests' own Makefile installs, from the tree or the tree of links. It
# calls us again, and gives OBJ_PATH then. It knows of O= alone.
ifneq ($(if $(O),,$(OUTPUT_GIVEN)),)
$(error $(MAKECMDGOALS) cannot build in OUTPUT=: give O= instead)
endif
ifeq ($(INSTALL_PATH),)
$(error $(MAKECMDGOALS) needs a folder: give INSTALL_PATH=)
endif
install gen_tar: tree
	+$(Q)$(MAKE) --no-print-directory -C $(if $(IN_TREE),..,$(TREE_SELFTESTS)) TARGETS=mptcp_mark \
		KSRC=$(KSRC) INSTALL_PATH=$(abspath $(INSTALL_PATH)) $(if $(O),O=$(abspath $(O))) $@

else

ifneq ($(OBJ_PATH),)
TEST_INCLUDES := $(addprefix $(SELFTESTS)/net/,lib.sh mptcp/mptcp_lib.sh) \
		 $(wildcard $(SELFTESTS)/net/lib/sh/*.sh $(SELFTESTS)/net/net_helper.sh)
endif
ifeq ($(IN_TREE),)
export override SRC_PATH := $(realpath $(SELFTESTS))
endif
ifneq ($(OUTPUT),$(CURDIR))
building_out_of_srctree := 1
endif

OVERRIDE_TARGETS := 1
include $(SELFTESTS)/lib.mk
MAKEFLAGS += --no-print-directory

ifeq ($(IN_TREE),)
# The runner takes the name of the tests from their place in a tree
override define RUN_TESTS
	cd $(TREE_SELFTESTS)/mptcp_mark;			\
	BASE_DIR=$(TREE_SELFTESTS);				\
	. $(SELFTESTS)/kselftest/runner.sh;			\
	if [ "X$(summary)" != "X" ]; then			\
		per_test_logging=1;				\
	fi;							\
	run_many $(addprefix $(OUTPUT)/,$(notdir $(1)))
endef
endif

# Names relative to the caller's folder, as the sub-make has another
BPF_PATHS := $(foreach v,BPFTOOL VMLINUX_BTF VMLINUX_H,$(if $($(v)),$(v)=$(abspath $($(v)))))

# The tests that are not ours, and what only they need
NOT_OURS := LSKELS= LSKELS_EXTRA= LSKELS_SIGNED= LINKED_SKELS= \
	    TRUNNER_EXTRA_FILES= LIBARENA_SKEL= LIBARENA_ASAN_SKEL= \
	    SKIP_DOCS=1 SKIP_LLVM=1 SKIP_LIBBFD=1 SKIP_CRYPTO=1

# A variant of the program that includes it: the rules know of .h files only
UNABLE := $(BUILD)/bpf/mptcp_mark_unable.bpf.o

.PHONY: harness
harness: tree
	$(Q)mkdir -p $(BUILD)/bpf
	$(Q)[ ! progs/mptcp_mark.c -nt $(UNABLE) ] || $(RM) $(UNABLE)
	+$(Q)$(MAKE) $(if $(findstring j,$(MAKEFLAGS)),,-j$(shell nproc)) \
		-C $(TREE_SELFTESTS)/bpf OUTPUT=$(BUILD)/bpf $(BPF_TOOLCHAIN) \
		$(BPF_PATHS) $(NOT_OURS) $(BUILD)/bpf/test_progs

$(addprefix $(OUTPUT)/,test_progs $(BPF_OBJS)): $(OUTPUT)/%: harness
	$(Q)cp -u $(BUILD)/bpf/$* $@

.PHONY: demo
demo: all
	$(Q)$(if $(filter-out $(CURDIR),$(OUTPUT)),cp -u mptcp_mark.sh $(OUTPUT))
	$(Q)$(OUTPUT)/mptcp_mark.sh --demo

SCRIPTS := $(wildcard *.sh scripts/*.sh .ci/run)
SOURCES := $(wildcard progs/*.[ch] prog_tests/*.[ch] Makefile config README.rst)

.PHONY: check
check:
	$(Q)rc=0; cd $(KSRC); for f in $(addprefix $(CURDIR)/,$(SOURCES) $(SCRIPTS)); do \
		scripts/checkpatch.pl --strict --terse --no-summary -f $$f || rc=1; \
	done; exit $$rc
	$(Q)shellcheck $(SCRIPTS)

endif # install, gen_tar
endif # a goal that needs the tree
endif # setup
