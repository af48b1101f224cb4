// SPDX-License-Identifier: GPL-2.0
/* The mark is there before the SYN, for counters and for routing: rule 3. */
#include "mptcp_mark_helpers.h"

/* Each of the SYNs is counted by nft, under the mark of its subflow */
static void test_counted(struct mark_env *env)
{
	struct mark_seen seen = {};
	struct mark_table table;
	int i;

	if (mark_start(env, AF_INET, 2))
		return;
	mark_expect(env, mark_ordinals, 3);

	seen.nft = mark_output(env->client, "nft -n list set inet syns v4");
	if (ASSERT_OK_PTR(seen.nft, "nft") &&
	    ASSERT_EQ(mark_get_table(env->conn.client_fd, &table), 3, "entries"))
		for (i = 0; i < 3; i++)
			ASSERT_EQ(mark_from_nft(seen.nft, AF_INET, table.entry[i].local,
						table.entry[i].local_port), i + 1, "mark of SYN");
	mark_unsee(&seen);
}

/* Subflow 2 alone does not get through. It had its ordinal all the same */
static void test_blackhole(struct mark_env *env)
{
	static const __u32 mark[] = { 1, 3 };

	if (mark_ip(env->client, "rule add pref 10 fwmark 2 blackhole") ||
	    mark_endpoints(env, AF_INET, 2) || mark_listen(env, "10.0.1.2") ||
	    mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 2))
		return;
	mark_expect(env, mark, 2);
}

/* Packets of each mark left by these devices, and by no others */
static void expect_devices(struct mark_env *env, const char *const dev[], int n)
{
	char *nft, elem[32], key[32], *first;
	int mark;

	nft = mark_output(env->client, "nft -n list set inet flows dev");
	if (!ASSERT_OK_PTR(nft, "nft"))
		return;
	for (mark = 1; mark <= n; mark++) {
		snprintf(elem, sizeof(elem), "\"%s\" . 0x%08x", dev[mark - 1], mark);
		snprintf(key, sizeof(key), " . 0x%08x", mark);
		ASSERT_HAS_SUBSTR(nft, elem, "mark and device");
		first = strstr(nft, key);
		ASSERT_NULL(first ? strstr(first + 1, key) : NULL, "mark at another device");
	}
	free(nft);
}

static const char *const own_link[] = { "eth1", "eth2", "eth3" };

/* Without a rule, each subflow leaves by the link of its address */
static void test_own_links(struct mark_env *env)
{
	if (!mark_start(env, AF_INET, 2))
		expect_devices(env, own_link, 3);
}

/* The third link for mark 2: subflow 2 alone moves there */
static void test_moved(struct mark_env *env)
{
	static const char *const moved[] = { "eth1", "eth3", "eth3" };

	if (mark_ip(env->client, "rule add pref 10 fwmark 2 table 103") ||
	    mark_start(env, AF_INET, 2))
		return;
	mark_expect(env, mark_ordinals, 3);
	expect_devices(env, moved, 3);
}

/* An endpoint with 'dev' binds its subflows to it: the rule has no say */
static void test_bound_to_dev(struct mark_env *env)
{
	if (mark_ip(env->client, "rule add pref 10 fwmark 2 table 103") ||
	    mark_ip(env->client, "mptcp endpoint add 10.0.2.1 dev eth2 subflow") ||
	    mark_listen(env, "10.0.1.2") || mark_connect(env, "10.0.1.2", &env->conn) ||
	    mark_wait_subflows(env->conn.client_fd, 2))
		return;
	mark_expect(env, mark_ordinals, 2);
	expect_devices(env, own_link, 2);
}

static const struct mark_test tests[] = {
	{ "counted", 3, test_counted },
	{ "blackhole", 3, test_blackhole },
	{ "own_links", 3, test_own_links },
	{ "moved", 3, test_moved },
	{ "bound_to_dev", 3, test_bound_to_dev },
};

void test_mptcp_mark_syn(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
