// SPDX-License-Identifier: GPL-2.0
/* What comes of the benchmarks: a table for people, JSON lines for machines. */
#include <sys/mman.h>
#include <sys/utsname.h>
#include "bench_mptcp_mark_report.h"

#define ROWS_MAX	128

/* Filled by one process after the other */
struct report {
	int rows;
	char row[ROWS_MAX][256];
	bool failed, missed;
	long stalled, fallbacks;
	int width;		/* of the line of progress */
	__u64 progress_ms;
};

static struct report *report;
static FILE *json;

static void __printf(1, 2) row_add(const char *fmt, ...)
{
	va_list ap;

	if (report->rows == ROWS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(report->row[report->rows++], sizeof(report->row[0]), fmt, ap);
	va_end(ap);
}

static void __printf(1, 2) json_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(json, fmt, ap);
	va_end(ap);
	fflush(json);
}

static void clear_progress(void)
{
	if (report->width)
		fprintf(stderr, "\r%*s\r", report->width, "");
	report->width = 0;
}

/* On a terminal a line that is written over, elsewhere one every ten seconds */
void progress(const char *what, long done, long all)
{
	__u64 now = now_ms();

	if (isatty(STDERR_FILENO)) {
		clear_progress();
		report->width = fprintf(stderr, "%s: %ld of %ld", what, done, all);
	} else if (now - report->progress_ms >= 10000 || done == all) {
		report->progress_ms = now;
		fprintf(stderr, "%s: %ld of %ld\n", what, done, all);
	}
}

void fail(const char *fmt, ...)
{
	char line[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	clear_progress();
	fprintf(stderr, "FAIL: %s\n", line);
	report->failed = true;
}

void count_incomplete(bool fallback)
{
	if (fallback)
		report->fallbacks++;
	else
		report->stalled++;
}

long incomplete(void)
{
	return report->stalled + report->fallbacks;
}

long number_from(const char *env, long otherwise, long most)
{
	const char *value = getenv(env);
	char *end;
	long n;

	if (!value)
		return otherwise;
	n = strtol(value, &end, 10);
	if (n > 0 && n <= most && !*end)
		return n;
	fail("%s=%s: give a number from 1 to %ld", env, value, most);
	return -1;
}

/* network_helpers.o calls it */
void test__fail(void)
{
	fail("a helper of the tree failed");
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

/* The i-th smallest, from 0 on */
static double ranked(const struct figure *f, int i)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, f->value, sizeof(sorted));
	qsort(sorted, f->n, sizeof(sorted[0]), compare);
	return sorted[i];
}

double figure_median(const struct figure *f)
{
	return (ranked(f, (f->n - 1) / 2) + ranked(f, f->n / 2)) / 2;
}

static void print_value(char *buf, size_t size, double value, const char *unit)
{
	int digits = !*unit ? 3 : value < 10 && value > -10 ? 1 : 0;

	snprintf(buf, size, "%.*f", digits, value);
}

void figure_report(const struct figure *f)
{
	double median, low, high;
	char buf[3][16], must_be[32] = "";
	bool reached = true;
	int i;

	if (!f->n)
		return;
	median = figure_median(f);
	/*
	 * Without one round in twenty at either end: of ten, all. It is to hold the median
	 * of the next run; the middle half of ten misses that in two of seven, by chance.
	 */
	low = ranked(f, f->n / 20);
	high = ranked(f, f->n - 1 - f->n / 20);
	json_line("{\"figure\":\"%s\",\"unit\":\"%s\",\"median\":%g,\"low\":%g,\"high\":%g",
		  f->name + strspn(f->name, " "), f->unit, median, low, high);
	if (f->aim == AT_MOST) {
		reached = median <= f->target;
		snprintf(must_be, sizeof(must_be), "at most %g", f->target);
		json_line(",\"at_most\":%g,\"reached\":%s", f->target, reached ? "true" : "false");
	} else if (f->aim == AT_LEAST) {
		reached = median >= f->target;
		snprintf(must_be, sizeof(must_be), "at least %g", f->target);
		json_line(",\"at_least\":%g,\"reached\":%s", f->target, reached ? "true" : "false");
	}
	json_line(",\"rounds\":[");
	for (i = 0; i < f->n; i++)
		json_line("%s%g", i ? "," : "", f->value[i]);
	json_line("]}\n");

	print_value(buf[0], sizeof(buf[0]), median, f->unit);
	print_value(buf[1], sizeof(buf[1]), low, f->unit);
	print_value(buf[2], sizeof(buf[2]), high, f->unit);
	row_add("%-46s %7s %-4s %6s … %-6s %3d  %-13s %s", f->name, buf[0],
		f->unit, buf[1], buf[2], f->n, must_be,
		f->aim == INFO ? "" : reached ? "yes" : "NO");
	report->missed |= !reached;
}

void fact_report(const char *name, bool right, long want, long got, const char *fmt, ...)
{
	char how[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(how, sizeof(how), fmt, ap);
	va_end(ap);
	json_line("{\"figure\":\"%s\",\"right\":%s,\"wanted\":%ld,\"got\":%ld,\"how\":\"%s\"}\n",
		  name + strspn(name, " "), right ? "true" : "false", want, got, how);
	row_add("%-46s %s%s", name, right ? "" : "WRONG: ", how);
	report->missed |= got < want;
}

static void cpu_name(char *name, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256], *value;

	snprintf(name, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		value = strchr(line, ':');
		if (!value || strncmp(line, "model name", strlen("model name")))
			continue;
		value[strcspn(value, "\n")] = '\0';
		snprintf(name, size, "%s", value + 2);
		break;
	}
	if (f)
		fclose(f);
}

int report_open(const char *path)
{
	struct utsname uts;
	char cpu[128];

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	json = fopen(path, "w");
	if (report == MAP_FAILED || !json)
		return -1;
	uname(&uts);
	cpu_name(cpu, sizeof(cpu));
	json_line("{\"kernel\":\"%s %s\",\"cpu\":\"%s\",\"cpus\":%ld}\n", uts.release, uts.machine,
		  cpu, sysconf(_SC_NPROCESSORS_ONLN));
	row_add("Linux %s %s, %ld x %s", uts.release, uts.machine,
		sysconf(_SC_NPROCESSORS_ONLN), cpu);
	return 0;
}

bool report_print(void)
{
	int i;

	clear_progress();
	printf("\n%s\n\n%-46s %7s %-4s %-15s %3s  %-13s %s\n", report->row[0], "", "median", "",
	       "nine in ten", "of", "must be", "reached");
	for (i = 1; i < report->rows; i++)
		puts(report->row[i]);
	if (report->missed)
		printf("\nNot all that must be was reached.\n");
	if (report->stalled)
		printf("\nWithout all subflows after %d s, and opened again: %ld connections.\n",
		       STALL_MS / 1000, report->stalled);
	if (report->fallbacks)
		printf("\nWithout an MPTCP token, and opened again: %ld connections.\n",
		       report->fallbacks);
	if (report->failed)
		printf("\nFailed: see above.\n");
	return report->failed;
}
