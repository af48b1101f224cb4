/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __BENCH_MPTCP_MARK_REPORT_H__
#define __BENCH_MPTCP_MARK_REPORT_H__

#include "bench_mptcp_mark.h"

/* Before any process is forked that is to report; JSON lines go to the path */
int report_open(const char *path);

/* The table; returns whether something failed */
bool report_print(void);

#endif /* __BENCH_MPTCP_MARK_REPORT_H__ */
