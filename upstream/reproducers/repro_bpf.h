/* SPDX-License-Identifier: GPL-2.0 */
/* For reproducers with BPF programs: load and attach those that are named */
#ifndef REPRO_BPF_H
#define REPRO_BPF_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "repro.h"
#include "look.h"
#include "repro.skel.h"

static inline struct repro *load(const char * const *names)
{
	struct repro *skel = repro__open();
	struct bpf_program *prog;
	int cgroup = join_cgroup();

	if (!skel)
		result(CANNOT, "BPF: %m");
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, false);
	for (int i = 0; names[i]; i++) {
		prog = bpf_object__find_program_by_name(skel->obj, names[i]);
		bpf_program__set_autoload(prog, true);
	}
	if (repro__load(skel))
		result(CANNOT, "BPF: the kernel refuses %s", names[0]);
	for (int i = 0; names[i]; i++) {
		prog = bpf_object__find_program_by_name(skel->obj, names[i]);
		if (bpf_program__type(prog) == BPF_PROG_TYPE_TRACING)
			continue;
		if (!bpf_program__attach_cgroup(prog, cgroup))
			result(CANNOT, "BPF: the kernel does not attach %s: %m", names[i]);
	}
	return skel;
}

#define LOAD(...) load((const char * const []){ __VA_ARGS__, NULL })

static inline void look(int fd, int what)
{
	int dummy = 0;

	must(setsockopt(fd, LOOK_LEVEL, what, &dummy, sizeof(dummy)));
}

/* Hold the sockets of accepted subflows in a thread, from the return on */
static inline void *read_iterator(void *fd)
{
	char buf[64];

	while (read((long)fd, buf, sizeof(buf)) > 0)
		;
	return NULL;
}

static inline pthread_t hold_subflows(struct repro *skel)
{
	struct bpf_link *link = bpf_program__attach_iter(skel->progs.hold, NULL);
	pthread_t thread;
	long fd;

	if (!link)
		result(CANNOT, "BPF: no iterator: %m");
	fd = must(bpf_iter_create(bpf_link__fd(link)));
	pthread_create(&thread, NULL, read_iterator, (void *)fd);
	for (int i = 0; i < 5000 && !__atomic_load_n(&skel->bss->holding, __ATOMIC_RELAXED); i++)
		usleep(1000);
	return thread;
}

#endif
