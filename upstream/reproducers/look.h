/* SPDX-License-Identifier: GPL-2.0 */
/* What the program look_at_msk tells the reproducers */
#ifndef LOOK_H
#define LOOK_H

#define LOOK_LEVEL	0xcafe
#define LOOK		1
#define LOOK_SET_MARK	2
#define LOOK_MARK	7
#define LOOK_LOWAT	4096
#define LOOK_PORT	10000
#define LOOK_MAX	8

struct look_subflow {
	unsigned int mark, port, daddr, seq, notsent_lowat, keepidle;
};

struct look {
	unsigned int mark, seq, nr;
	struct look_subflow subflows[LOOK_MAX];
};

#endif
