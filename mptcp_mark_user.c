// SPDX-License-Identifier: GPL-2.0
/*
 * Attach mptcp_mark to cgroups, and show the subflows that there are. The verbs
 * are in the other files mptcp_mark_user_*.c.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mptcp_mark_user.h"

#define VERSION	"1.0"

/* The man page is made from this: see "make man" */
static const char help[] =
"Usage: mptcp_mark_user run CGROUP [OPTION]... [-- CMD [ARG]...]\n"
"  or:  mptcp_mark_user attach CGROUP [OPTION]...\n"
"  or:  mptcp_mark_user load DIR [OPTION]...\n"
"  or:  mptcp_mark_user set CGROUP [-b BASE] [-m MASK]\n"
"  or:  mptcp_mark_user detach CGROUP\n"
"  or:  mptcp_mark_user status [CGROUP] [-j]\n"
"  or:  mptcp_mark_user show [-n NETNS] [-j] [-w [SECONDS]]\n"
"  or:  mptcp_mark_user policy load CGROUP FILE\n"
"  or:  mptcp_mark_user policy {show [-j] | apply | flush} CGROUP\n"
"  or:  mptcp_mark_user policy check FILE\n"
"\n"
"Gives the subflows of the MPTCP connections of a cgroup, and of the cgroups\n"
"below it, a mark each: the n-th subflow has (inherited & ~MASK) | ((BASE + n) &\n"
"MASK), from its SYN on.\n"
"\n"
"Verbs:\n"
"  run      attached for as long as CMD runs in CGROUP, or until interrupted.\n"
"           Then says how many subflows were marked. Exit code: that of CMD\n"
"  attach   attached until 'detach', by links pinned below " PINS ".\n"
"           Again: with other options; connections keep their order\n"
"  load     programs and maps pinned in DIR, nothing attached: for BPFProgram=\n"
"           of systemd\n"
"  set      another base, mask or both, at once, while attached\n"
"  detach   the end of 'attach'\n"
"  status   where the program is attached, with what options, and its counters\n"
"  show     the subflows of a network namespace, whether or not they are marked.\n"
"           ord is the place in the order of creation, where it is known; loc and\n"
"           rem are the ids of the endpoints, rule is the first one of the\n"
"           policy that fits the subflow\n"
"  policy load   attached with this policy until 'policy flush' or 'detach'.\n"
"           Again: the new policy as a whole, for new subflows\n"
"  policy show   the policy, with how often each rule fitted, and was refused\n"
"  policy apply  the policy for the subflows that there are, in the network\n"
"           namespaces of the processes of CGROUP\n"
"  policy check  what is wrong with FILE, or all of it as it is understood\n"
"  policy flush  the end of the policy\n"
"\n"
"A policy has a rule in each line, up to 32; the first that fits a subflow counts.\n"
"FILE is - for standard input. # begins a comment.\n"
"  RULE  := [MATCH]... ACTION...\n"
"  MATCH := ordinal N | endpoint ID | remote-id ID | backup [local|remote] | opened |\n"
"           accepted | family inet|inet6 | from PREFIX | to PREFIX | dev NAME\n"
"  ACTION := mark V[/M] | congctl NAME | skb-priority N | tos N | pacing RATE |\n"
"           user-timeout TIME | syncnt N | keepalive IDLE/INTVL/CNT\n"
"  RATE   := unlimited, or as tc has them: 10mbit; TIME, IDLE, INTVL := 2s, 1500ms\n"
"as 'endpoint 2 mark 0x20/0xf0 congctl reno pacing 10mbit', 'backup user-timeout 2s'\n"
"\n"
"Options:\n"
"  -b, --base=BASE         added to the ordinal (0)\n"
"  -m, --mask=MASK         the bits to write (0xffffffff)\n"
"  -t, --table             also answer getsockopt(SOL_MPTCP_MARK, MPTCP_MARK_TABLE)\n"
"  -M, --mptcpify          TCP sockets that are created in CGROUP become MPTCP\n"
"  -D, --debug             a line in the kernel's trace for each marking\n"
"  -n, --netns=NETNS       a name as of 'ip netns', or a path\n"
"  -j, --json              in JSON\n"
"  -w, --watch[=SECONDS]   again every second, or so many, with rates and shares\n"
"  -h, --help              this text\n"
"  -V, --version           the version\n"
"\n"
"Numbers are decimal, or hexadecimal as 0x20. 'run', 'attach' and 'load' take -b,\n"
"-m, -t and -D; the first two also -M. On any error: one line, exit code 1.\n";

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("mptcp_mark_user: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fflush(stdout);
	fputs("mptcp_mark_user: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static __u32 parse_u32(const char *what, const char *text)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (!isdigit(*text) || errno || *end || value > 0xffffffff)
		die("%s is a number of 32 bits, as 32 or 0x20, not '%s'", what, text);
	return value;
}

static double parse_seconds(const char *text)
{
	double value;
	char *end;

	value = strtod(text, &end);
	if (end == text || *end || !(value >= 0.01 && value <= 86400))
		die("-w takes seconds, 0.01 to 86400, not '%s'", text);
	return value;
}

/* What each verb takes */
static const struct verb {
	const char *name;
	const char *options;
	const char *object;	/* in brackets: or nothing */
	const char *file;	/* a second one */
} verbs[] = {
	{ "run", "bmtMD", "CGROUP" },
	{ "attach", "bmtMD", "CGROUP" },
	{ "load", "bmtD", "DIR" },
	{ "set", "bm", "CGROUP" },
	{ "detach", "", "CGROUP" },
	{ "status", "j", "[CGROUP]" },
	{ "show", "njw", NULL },
	{ "policy load", "", "CGROUP", "FILE" },
	{ "policy show", "j", "CGROUP" },
	{ "policy apply", "", "CGROUP" },
	{ "policy check", "", "FILE" },
	{ "policy flush", "", "CGROUP" },
	{}
};

static const struct option long_options[] = {
	{ "base", required_argument, NULL, 'b' },
	{ "mask", required_argument, NULL, 'm' },
	{ "table", no_argument, NULL, 't' },
	{ "mptcpify", no_argument, NULL, 'M' },
	{ "debug", no_argument, NULL, 'D' },
	{ "netns", required_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ "watch", optional_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{}
};

static void check_output(void)
{
	if (fflush(stdout) || ferror(stdout))
		die("the output could not be written");
}

static void __noreturn print_and_exit(const char *text)
{
	fputs(text, stdout);
	check_output();
	exit(0);
}

static void parse_option(const struct verb *verb, int opt, char **argv,
			 struct mark_options *options)
{
	if (opt == '?' && optopt)	/* one letter of some, perhaps */
		die("unknown option '-%c': see --help", optopt);
	if (opt == '?')
		die("unknown option '%s': see --help", argv[optind - 1]);
	if (opt == ':')
		die("'%s' needs an argument: see --help", argv[optind - 1]);
	if (opt == 'h')
		print_and_exit(help);
	if (opt == 'V')
		print_and_exit("mptcp_mark_user " VERSION "\n");
	if (!strchr(verb->options, opt))
		die("'%s' takes no -%c: see --help", verb->name, opt);

	switch (opt) {
	case 'b':
		options->base = parse_u32("BASE", optarg);
		options->has_base = true;
		break;
	case 'm':
		options->mask = parse_u32("MASK", optarg);
		options->has_mask = true;
		break;
	case 't':
		options->table = true;
		break;
	case 'M':
		options->mptcpify = true;
		break;
	case 'D':
		options->debug = true;
		break;
	case 'n':
		options->netns = optarg;
		break;
	case 'j':
		options->json = true;
		break;
	case 'w':
		/* "-w 2", too */
		if (!optarg && argv[optind] && *argv[optind] != '-')
			optarg = argv[optind++];
		options->watch = optarg ? parse_seconds(optarg) : 1;
		break;
	}
}

/* Verbs of one word, or of two: "policy load" */
static const struct verb *find_verb(int *argc, char ***argv)
{
	const struct verb *verb = verbs;
	char name[32];
	int words = 1;

	snprintf(name, sizeof(name), "%s", (*argv)[1]);
	if (!strcmp(name, "policy") && *argc > 2) {
		snprintf(name, sizeof(name), "policy %s", (*argv)[2]);
		words = 2;
	}
	while (verb->name && strcmp(verb->name, name))
		verb++;
	if (!verb->name)
		die("unknown verb '%s': see --help", name);
	(*argv)[words] = (*argv)[0];
	*argv += words;
	*argc -= words;
	return verb;
}

static int do_verb(const struct verb *verb, const char *object, const char *file,
		   const struct mark_options *options, char **command)
{
	if (!strcmp(verb->name, "policy check"))
		return do_policy(verb->name, object, NULL, options);
	if (geteuid())
		die("must be root: use sudo");
	watch_refusals();
	if (!strncmp(verb->name, "policy ", 7))
		return do_policy(verb->name, object, file, options);
	if (!strcmp(verb->name, "run"))
		return do_run(object, options, command);
	if (!strcmp(verb->name, "attach"))
		return do_attach(object, options);
	if (!strcmp(verb->name, "load"))
		return do_load(object, options);
	if (!strcmp(verb->name, "set"))
		return do_set(object, options);
	if (!strcmp(verb->name, "detach"))
		return do_detach(object);
	if (!strcmp(verb->name, "status"))
		return do_status(object, options);
	return do_show(options);
}

int main(int argc, char **argv)
{
	struct mark_options options = { .mask = ~0U };
	const struct verb *verb;
	char **command = NULL;
	const char *operand[2] = {}, *object, *file;
	int opt, num = 0, max, rc;

	if (argc < 2)
		die("what to do? See --help");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		print_and_exit(help);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		print_and_exit("mptcp_mark_user " VERSION "\n");
	verb = find_verb(&argc, &argv);

	/* The options of CMD are not ours */
	for (int i = 1; verb == verbs && i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		command = argv + i + 1;
		argc = i;
		if (!*command)
			die("no CMD behind --: see --help");
		argv[i] = NULL;
	}

	opterr = 0;
	max = !!verb->object + !!verb->file;
	/* "-": what is no option comes as 1, whatever POSIXLY_CORRECT */
	while ((opt = getopt_long(argc, argv, "-:b:m:tMDn:jw::hV", long_options, NULL)) != -1) {
		if (opt != 1)
			parse_option(verb, opt, argv, &options);
		else if (num == max)
			die("'%s' takes no '%s': see --help", verb->name, optarg);
		else
			operand[num++] = optarg;
	}
	while (optind < argc && num < max)	/* behind -- */
		operand[num++] = argv[optind++];
	object = operand[0];
	file = operand[1];
	if (verb->object && *verb->object != '[' && !object)
		die("'%s' needs a %s: see --help", verb->name, verb->object);
	if (verb->file && !file)
		die("'%s' needs a %s: see --help", verb->name, verb->file);
	if (optind < argc)
		die("'%s' takes no '%s': see --help", verb->name, argv[optind]);
	if (!strcmp(verb->name, "set") && !options.has_base && !options.has_mask)
		die("'set' needs -b, -m, or both: see --help");
	rc = do_verb(verb, object, file, &options, command);
	check_output();
	return rc;
}
