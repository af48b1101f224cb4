// SPDX-License-Identifier: GPL-2.0
/* What comes of the benchmarks: lines for people, and JSON lines with each value. */
#include <sys/utsname.h>
#include "bench_mptcp_mark.h"

static FILE *json;

static void clear_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

/* On a terminal a line that is written over, elsewhere one every ten seconds */
void progress(long done, long all)
{
	static __u64 last;
	static int tty = -1;

	if (tty < 0)
		tty = isatty(STDERR_FILENO);
	if (ns_since(last) < (tty ? 1e8 : 1e10))
		return;
	last = get_time_ns();
	clear_progress();
	fprintf(stderr, "%s: %ld of %ld%s", bench_name, done, all, tty ? "" : "\n");
}

void die(const char *fmt, ...)
{
	va_list ap;

	clear_progress();
	fprintf(stderr, "FAIL: %s: ", bench_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

/* The helpers of the tree call it */
void test__fail(void)
{
	die("a helper failed");
}

int report_open(const char *path)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname uts;

	json = fopen(path, "w");
	if (!json)
		return -1;
	uname(&uts);
	printf("Linux %s, %s, %ld CPUs\n", uts.release, uts.machine, cpus);
	fprintf(json, "{\"kernel\":\"%s\",\"machine\":\"%s\",\"cpus\":%ld}\n", uts.release,
		uts.machine, cpus);
	fflush(NULL);		/* before a benchmark is forked */
	return 0;
}

void figure_add(struct figure *f, double value)
{
	if (f->n < ROUNDS_MAX)
		f->value[f->n++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double figure_median(const struct figure *f)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, f->value, sizeof(sorted));
	qsort(sorted, f->n, sizeof(sorted[0]), compare);
	return f->n ? (sorted[(f->n - 1) / 2] + sorted[f->n / 2]) / 2 : 0;
}

void figure_report(const struct figure *f)
{
	double median = figure_median(f);
	bool reached = f->goal == AT_MOST ? median <= f->limit : median >= f->limit;
	int i;

	if (!f->n)
		return;
	clear_progress();
	printf(f->line, median);
	for (i = 0; f->bar && i < median / f->bar; i++)
		printf("#");
	fprintf(json, "{\"name\":\"%s\",\"median\":%g", f->name, median);
	if (f->goal) {
		printf(" (at %s %g: %s)", f->goal == AT_MOST ? "most" : "least", f->limit,
		       reached ? "yes" : "NO");
		fprintf(json, ",\"at_%s\":%g,\"reached\":%s", f->goal == AT_MOST ? "most" : "least",
			f->limit, reached ? "true" : "false");
	}
	printf("\n");
	for (i = 0; i < f->n; i++)
		fprintf(json, "%s%g", i ? "," : ",\"rounds\":[", f->value[i]);
	fprintf(json, "]}\n");
	fflush(NULL);
}
