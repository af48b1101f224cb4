// SPDX-License-Identifier: GPL-2.0
/*
 * Subflows whose path changes, policies that are replaced, and cgroups that have
 * several: rules 17 to 19.
 */
#include "mptcp_mark_busy.h"
#include "mptcp_policy_helpers.h"

/* As by_backup has them */
#define BACKUP_MARK	7
#define OTHER_MARK	8

static const struct mptcp_policy_rule by_remote_backup[] = {
	{ RULE_IS(MPTCP_IS_BACKUP_LOCAL), RULE_MARK(6) },
	{ RULE_IS(MPTCP_IS_BACKUP_REMOTE), RULE_MARK(BACKUP_MARK) },
	{ RULE_MARK(OTHER_MARK) },
};

static const struct mptcp_policy_rule by_endpoint[] = {
	{ RULE_ENDPOINT(2), RULE_MARK(0x22) },
	{ RULE_ENDPOINT(3), RULE_MARK(0x33) },
};

/* The mark of subflow 2, read by BPF: also of an end that has pending joins */
static bool second_has(struct mark_env *env, int end, __u32 mark)
{
	struct mptcp_policy_values v[2] = {};

	return !policy_values(env, end, v, 2) && v[1].mark == mark;
}

/* The packet that tells the peer has the new mark already, and what follows */
static void test_backup_local(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);
	int i;

	if (!skel || mark_start(env, AF_INET, NULL, 3))
		return;
	mark_expect(env, CLIENT, MARKS(8, 8, 8), 3);
	for (i = 1; i <= 2; i++) {
		__u32 now = i == 1 ? BACKUP_MARK : OTHER_MARK;

		/* The connection is idle: the first packet is the one with MP_PRIO */
		if (mark_watch_link(env, CLIENT, AF_INET, 2, now) ||
		    mark_ip(env, CLIENT, "mptcp endpoint change id 2 %s",
			    i == 1 ? "backup" : "nobackup") ||
		    mark_send(&env->conn, CLIENT, 1 << 18) || mark_watched(env, CLIENT))
			break;
		mark_expect(env, CLIENT, MARKS(8, now, 8), 3);
	}
}

/*
 * The peer learns of it from a packet: the subflow has the new mark from the next
 * one on. What it sends until that comes has the old one.
 */
static void test_backup_remote(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_remote_backup, 3);

	if (!skel || mark_endpoint(env, 1) || mark_start_server(env, MARK_CGROUP, AF_INET, 2) ||
	    mark_watch_links(env, SERVER, AF_INET, MARKS(8, 8), 2) ||
	    mark_send(&env->conn, SERVER, MARK_BULK) || mark_watched(env, SERVER) ||
	    mark_watch_link(env, SERVER, AF_INET, 2, BACKUP_MARK) ||
	    /* Where all are backups, both carry data */
	    mark_ip(env, CLIENT, "mptcp endpoint change id 1 backup\n"
				 "mptcp endpoint change id 2 backup") ||
	    mark_send(&env->conn, SERVER, MARK_BULK) ||
	    mark_wait(second_has(env, SERVER, BACKUP_MARK)) ||
	    mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	ASSERT_GT(policy_packets(env, SERVER, "right"), policy_packets(env, SERVER, "wrong"),
		  "packets of a backup");
	mark_unwatch(env, SERVER);
}

/* The SYN leaves before the peer says that it wants the join as a backup */
static void test_backup_of_peer(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_remote_backup, 3);

	if (!skel || mark_watch(env, CLIENT, "ip daddr 10.0.2.2 tcp flags syn", "8") ||
	    mark_watch(env, CLIENT, "ip daddr 10.0.2.2 tcp flags & syn == 0", "7") ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal backup") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 2))
		return;
	mark_expect(env, CLIENT, MARKS(OTHER_MARK, BACKUP_MARK), 2);
}

/* The kernel says late that the initial subflow goes by a backup endpoint */
static void test_backup_initial(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);

	if (!skel || mark_ip(env, CLIENT, "mptcp endpoint add 10.0.1.1 id 1 subflow backup") ||
	    mark_start(env, AF_INET, NULL, 2) || mark_send(&env->conn, CLIENT, 1 << 16))
		return;
	mark_expect(env, CLIENT, MARKS(BACKUP_MARK, OTHER_MARK), 2);
}

/*
 * The server announces an address, and the client has no endpoint: the kernel takes
 * the source address of the route, and its id is known only when the SYN leaves.
 */
static void test_chosen_address(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(1), RULE_MARK(6) },
		{ RULE_ENDPOINT(1), RULE_MARK(7) },
		{ RULE_ENDPOINT(255), RULE_MARK(9) },
		{ RULE_MARK(8) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 4);
	struct mptcp_ruleset set;

	if (!skel || mark_watch(env, CLIENT, "ip daddr 10.0.2.2", "7") ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 2) || policy_get(skel, &set))
		return;
	mark_expect(env, CLIENT, MARKS(6, 7), 2);
	ASSERT_EQ(set.stats[1].matched, 1, "matched");
}

/* And then whether it is a backup, too: here it is, as is the join of the endpoint itself */
static void test_chosen_backup(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);
	struct mptcp_ruleset set;

	if (!skel || mark_watch(env, CLIENT, "ip daddr 10.0.2.2", "7") ||
	    mark_ip(env, CLIENT, "mptcp endpoint add 10.0.2.1 id 2 subflow backup") ||
	    mark_ip(env, SERVER, "mptcp endpoint add 10.0.2.2 signal") ||
	    mark_listen(env, "0.0.0.0") || mark_connect(env, "10.0.1.2") ||
	    mark_wait_subflows(env, CLIENT, 3) || policy_get(skel, &set))
		return;
	mark_expect(env, CLIENT, MARKS(OTHER_MARK, BACKUP_MARK, BACKUP_MARK), 3);
	ASSERT_EQ(set.stats[1].matched, 1, "matched as if it were none");
}

/* An endpoint is deleted and added again: its new subflow comes to the same rule */
static void test_returns(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_endpoint, 2);
	int i;

	if (!skel || mark_watch_links(env, CLIENT, AF_INET, MARKS(0, 0x22, 0x33), 3) ||
	    mark_start(env, AF_INET, NULL, 3))
		return;
	for (i = 0; i < 20; i++) {
		if (mark_ip(env, CLIENT, "mptcp endpoint delete id 2\nlink set eth2 down") ||
		    mark_wait_subflows(env, CLIENT, 2) ||
		    /* The server has handled RM_ADDR: it would close a new subflow of this id */
		    mark_wait_subflows(env, SERVER, 2) ||
		    mark_ip(env, CLIENT, "link set eth2 up\n"
					 "route replace default table 102 via 10.0.2.2") ||
		    mark_join(env, AF_INET, 2, 3))
			return;
		mark_expect(env, CLIENT, MARKS(0, 0x33, 0x22), 3);
	}
}

/* After a disconnect, the order starts again for the policy, too */
static void test_reconnect(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(1), RULE_MARK(1) }, { RULE_ORDINAL(2), RULE_MARK(2) },
		{ RULE_ORDINAL(3), RULE_MARK(3) },
	};
	static const struct mptcp_policy_rule later[] = {
		{ RULE_ORDINAL(1), RULE_MARK(11) }, { RULE_ORDINAL(2), RULE_MARK(12) },
		{ RULE_ORDINAL(3), RULE_MARK(13) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 3);

	if (!skel)
		return;
	if (mark_watch_links(env, CLIENT, AF_INET, MARKS(1), 1) ||
	    mark_watch(env, CLIENT, "ip saddr != 10.0.1.1", "{ 2, 3 }") ||
	    mark_start(env, AF_INET, NULL, 3) || mark_reconnect(env) ||
	    mark_wait_subflows(env, CLIENT, 3))
		return;
	mark_expect(env, CLIENT, mark_ordinals, 3);
	/* And for one that is applied to them */
	if (mark_watched(env, CLIENT) || policy_apply(env, CLIENT, skel, later, 3))
		return;
	mark_expect(env, CLIENT, MARKS(11, 12, 13), 3);
}

/* The options of an accepted join are set again once the kernel has replaced them */
static void test_busy(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_ORDINAL(2), RULE_MARK(2) }, { RULE_ORDINAL(3), RULE_MARK(3) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, rules, 2);
	struct busy_server busy = {};
	struct mptcp_ruleset set;
	int link, err;

	if (!skel || mark_start_server(env, MARK_CGROUP, AF_INET, 1) ||
	    mark_set_nodelay(env) || busy_server_start(env, &busy))
		return;
	for (link = 2, err = 0; link <= 3 && !err; link++)
		err = mark_endpoint(env, link) ||
		      mark_wait(!policy_get(skel, &set) && set.stats[link - 2].matched == 1);
	if (busy_server_go_on(env, &busy, err, 3) || mark_poke(env, 2, 3) ||
	    mark_wait(second_has(env, SERVER, 2)) ||
	    mark_watch_links(env, SERVER, AF_INET, MARKS(0, 2, 3), 3) ||
	    mark_poke(env, 2, 3) || mark_send(&env->conn, SERVER, MARK_BULK))
		return;
	if (!policy_get(skel, &set))
		ASSERT_EQ(set.failed, 0, "failed");
}

/* Without memory for what has to be kept, the rule holds as long as nothing changes */
static void test_no_memory(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, by_backup, 2);
	struct mptcp_ruleset set;

	if (!skel || mark_sysctl(env, "net/core/optmem_max", "0") ||
	    mark_start(env, AF_INET, NULL, 2) || mark_send(&env->conn, CLIENT, 1 << 16) ||
	    policy_get(skel, &set))
		return;
	mark_expect(env, CLIENT, MARKS(OTHER_MARK, OTHER_MARK), 2);
	ASSERT_EQ(set.failed, 2, "failed");
	if (!policy_apply(env, CLIENT, skel, by_backup, 2) && !policy_get(skel, &set))
		ASSERT_EQ(set.failed, 2, "failed, of those that exist");
}

static void test_plain_tcp(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_ruleset set;
	int fd;

	if (!skel || mark_watch(env, CLIENT, "ip saddr 10.0.1.1", "0") ||
	    mark_listen_from(env, "10.0.1.2", MARK_CGROUP, IPPROTO_TCP))
		return;
	fd = mark_socket(env, CLIENT, MARK_CGROUP, AF_INET, SOCK_STREAM, IPPROTO_TCP);
	if (!mark_connect_fd(env, fd) && !policy_get(skel, &set))
		ASSERT_EQ(set.stats[0].matched + set.unmatched, 0, "subflows");
}

struct replacer {
	pthread_t thread;
	struct mptcp_policy *skel, *twin;
	bool stop;
};

static const struct mptcp_policy_rule one_or_other[] = {
	{ .actions = SETS(MARK) | SETS(PRIORITY), .mark = 1, .mark_mask = ~0U, .priority = 1 },
	{ .actions = SETS(MARK) | SETS(PRIORITY), .mark = 2, .mark_mask = ~0U, .priority = 2 },
};

static void *replace(void *arg)
{
	struct replacer *r = arg;
	struct bpf_link *link = r->skel->links.mptcp_policy;
	int failed = 0;

	while (!READ_ONCE(r->stop)) {
		failed += !!bpf_link__update_program(link, r->twin->progs.mptcp_policy);
		failed += !!bpf_link__update_program(link, r->skel->progs.mptcp_policy);
	}
	return failed ? "failed" : NULL;
}

/* One policy takes the place of another all the time: no subflow has a part of each */
static void test_replaced(struct mark_env *env)
{
	struct replacer r = { .skel = policy_start(env, AF_INET, one_or_other, 1) };
	struct mptcp_policy_values v[3] = {};
	int i, j, seen[3] = {};
	void *failed;

	if (!r.skel)
		return;
	r.twin = policy_twin(r.skel, true, &one_or_other[1], 1);
	if (!r.twin || mark_endpoints(env, AF_INET, 2, 3) || mark_listen(env, "10.0.1.2") ||
	    !ASSERT_OK(pthread_create(&r.thread, NULL, replace, &r), "thread"))
		goto destroy;
	for (i = 0; i < 100; i++) {
		if (mark_connect(env, "10.0.1.2") || mark_wait_subflows(env, CLIENT, 3) ||
		    policy_values(env, CLIENT, v, 3))
			break;
		for (j = 0; j < 3; j++) {
			ASSERT_EQ(v[j].mark, v[j].priority, "mark and priority");
			seen[v[j].mark % 3]++;
		}
		mark_disconnect(&env->conn);
	}
	WRITE_ONCE(r.stop, true);
	pthread_join(r.thread, &failed);
	ASSERT_NULL(failed, "replace policies");
	ASSERT_EQ(i, 100, "connections");
	ASSERT_EQ(seen[0], 0, "subflows without a policy");
	ASSERT_GT(seen[1], 0, "subflows of the one policy");
	ASSERT_GT(seen[2], 0, "subflows of the other");
destroy:
	mptcp_policy__destroy(r.twin);
}

#define MARK_DEEP	MARK_NESTED "/deep"

/* Sockets of a cgroup have the policy of the nearest cgroup, upwards, that has one */
static void test_nested(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = { { RULE_ORDINAL(2), RULE_MARK(7) } };
	static const struct {
		const char *cgroup;
		__u32 mark[3];
	} connections[] = {
		{ MARK_CGROUP, { 8, 8, 8 } },
		{ MARK_NESTED, { 0, 7, 0 } },
		{ MARK_DEEP, { 0, 7, 0 } },
		/* From here on without the inner policy */
		{ MARK_NESTED, { 8, 8, 8 } },
		{ MARK_DEEP, { 8, 8, 8 } },
	}, *c;
	struct mptcp_policy *outer = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_policy *inner = NULL;
	int deep_fd = create_and_get_cgroup(MARK_DEEP);
	__u64 cgroup;

	if (!outer || !ASSERT_OK_FD(deep_fd, "create cgroup"))
		goto destroy;
	inner = policy_twin(outer, false, rules, 1);
	if (!inner ||
	    policy_attach(inner, MARK_NESTED, env->nested_fd) ||
	    mark_endpoints(env, AF_INET, 2, 3) || mark_listen(env, "10.0.1.2"))
		goto destroy;
	cgroup = inner->bss->own_cgroup;
	for (c = connections; c < connections + ARRAY_SIZE(connections); c++) {
		if (c == &connections[3]) {
			mark_detach(&inner->links.mptcp_policy);
			if (!ASSERT_OK(bpf_map__delete_elem(inner->maps.mptcp_policies, &cgroup,
							    sizeof(cgroup), 0), "take policy away"))
				break;
		}
		if (mark_watch_links(env, CLIENT, AF_INET, c->mark, 3) ||
		    mark_connect_from(env, "10.0.1.2", c->cgroup, &env->conn) ||
		    mark_wait_subflows(env, CLIENT, 3))
			break;
		mark_expect(env, CLIENT, c->mark, 3);
		mark_disconnect(&env->conn);
		if (mark_watched(env, CLIENT))
			break;
	}
destroy:
	mptcp_policy__destroy(inner);
	mark_close(&deep_fd);
	remove_cgroup(MARK_DEEP);
}

/* A policy for a cgroup below, applied to a subflow that another one has looked at */
static void test_nested_later(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_IS(MPTCP_IS_BACKUP), RULE_MARK(5) },
		{ RULE_MARK(6) },
	};
	struct mptcp_policy *outer = policy_start(env, AF_INET, by_backup, 2), *inner;
	int i;

	if (!outer || mark_prepare(env, AF_INET, NULL, 2) ||
	    mark_connect_from(env, "10.0.1.2", MARK_NESTED, &env->conn) ||
	    mark_wait_subflows(env, CLIENT, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 8), 2);
	inner = policy_twin(outer, false, rules, 2);
	if (!inner || policy_attach(inner, MARK_NESTED, env->nested_fd) ||
	    policy_apply(env, CLIENT, inner, rules, 2))
		goto destroy;
	for (i = 0; i < 4; i++) {
		mark_expect(env, CLIENT, MARKS(6, i & 1 ? 5 : 6), 2);
		if (mark_ip(env, CLIENT, "mptcp endpoint change id 2 %s",
			    i & 1 ? "nobackup" : "backup"))
			break;
	}
destroy:
	mptcp_policy__destroy(inner);
}

/* To the subflows that there are; the other network namespace is not looked at */
static void test_apply(struct mark_env *env)
{
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);

	if (!skel || mark_start(env, AF_INET, NULL, 3))
		return;
	mark_expect(env, CLIENT, MARKS(8, 8, 8), 3);
	if (policy_apply(env, SERVER, skel, by_endpoint, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 8, 8), 3);
	if (policy_apply(env, CLIENT, skel, by_endpoint, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 0x22, 0x33), 3);

	/* Backup flags are followed from now on */
	if (policy_apply(env, CLIENT, skel, by_backup, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 8, 8), 3);
	if (!mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup"))
		mark_expect(env, CLIENT, MARKS(8, BACKUP_MARK, 8), 3);
}

/* Options, and not the mark alone; and another one as the flag changes */
static void test_apply_options(struct mark_env *env)
{
	static const struct mptcp_policy_rule rules[] = {
		{ RULE_IS(MPTCP_IS_BACKUP), .actions = SETS(SYNCNT), .syncnt = 3 },
		{ RULE_ORDINAL(2), .actions = SETS(MARK) | SETS(USER_TIMEOUT), .mark = 7,
		  .mark_mask = ~0U, .user_timeout = 2000 },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);
	struct mptcp_policy_values v[2] = {};

	if (!skel || mark_start(env, AF_INET, NULL, 2) ||
	    policy_apply(env, CLIENT, skel, rules, 2) || policy_values(env, CLIENT, v, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 7), 2);
	ASSERT_EQ(v[0].user_timeout, 0, "user timeout of subflow 1");
	ASSERT_EQ(v[1].user_timeout, 2000, "user timeout of subflow 2");
	if (!mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup") &&
	    !policy_values(env, CLIENT, v, 2))
		ASSERT_EQ(v[1].syncnt, 3, "SYN retries of subflow 2");
}

/* What is known of a subflow when a policy is applied to it serves when it changes later */
static void test_apply_backup(struct mark_env *env)
{
	static const struct mptcp_policy_rule first[] = {
		{ RULE_IS(MPTCP_IS_BACKUP), RULE_ORDINAL(2), RULE_MARK(7) },
		{ RULE_ORDINAL(2), RULE_MARK(6) },
		{ RULE_MARK(8) },
	};
	static const struct mptcp_policy_rule second[] = {
		{ RULE_IS(MPTCP_IS_BACKUP | MPTCP_IS_ACCEPTED), RULE_MARK(1) },
		{ RULE_IS(MPTCP_IS_OPENED), RULE_MARK(5) },
	};
	struct mptcp_policy *skel = policy_start(env, AF_INET, &by_backup[1], 1);

	if (!skel || mark_start(env, AF_INET, NULL, 3) ||
	    mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup") ||
	    policy_apply(env, CLIENT, skel, first, 3))
		return;
	mark_expect(env, CLIENT, MARKS(8, 7, 8), 3);
	if (mark_ip(env, CLIENT, "mptcp endpoint change id 2 nobackup"))
		return;
	mark_expect(env, CLIENT, MARKS(8, 6, 8), 3);

	/* It stays with rule 2 of this one, then goes to rules 1 and 2 of the next */
	if (policy_apply(env, CLIENT, skel, second, 2))
		return;
	mark_expect(env, CLIENT, MARKS(5, 5, 5), 3);
	if (mark_ip(env, CLIENT, "mptcp endpoint change id 2 backup") ||
	    policy_apply(env, CLIENT, skel, by_backup, 2))
		return;
	mark_expect(env, CLIENT, MARKS(8, 7, 8), 3);
	if (!mark_ip(env, CLIENT, "mptcp endpoint change id 2 nobackup"))
		mark_expect(env, CLIENT, MARKS(8, 8, 8), 3);
}

static const struct mark_test tests[] = {
	{ "backup_local", 3, test_backup_local },
	{ "backup_remote", 3, test_backup_remote },
	{ "backup_of_peer", 2, test_backup_of_peer },
	{ "backup_initial", 2, test_backup_initial },
	{ "chosen_address", 2, test_chosen_address },
	{ "chosen_backup", 2, test_chosen_backup },
	{ "returns", 3, test_returns },
	{ "reconnect", 3, test_reconnect },
	{ "busy", 3, test_busy },
	{ "no_memory", 2, test_no_memory },
	{ "plain_tcp", 1, test_plain_tcp },
	{ "replaced", 3, test_replaced },
	{ "nested", 3, test_nested },
	{ "nested_later", 2, test_nested_later },
	{ "apply", 3, test_apply },
	{ "apply_options", 2, test_apply_options },
	{ "apply_backup", 3, test_apply_backup },
};

void test_mptcp_policy_change(void)
{
	mark_run(tests, ARRAY_SIZE(tests));
}
