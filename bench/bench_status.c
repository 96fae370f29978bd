/* SPDX-License-Identifier: Apache-2.0 */
/* Times the rendering of synthetic snapshots, as the status server does it once for each form and snapshot: bench_status
 * [REPEATS]. Prints the median and the least milliseconds and the bytes of each form, for 8, 64 and 1,024 members. */
#include "base/clock.h"
#include "status/server/snapshot_cache.h"
#include "synthetic.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1000 };

static sgp_status_snapshot_t present;

static sgp_status_t take(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    *snapshot = present;
    return SGP_OK;
}

static void release(void *context, sgp_status_snapshot_t *snapshot) {
    (void)context;
    (void)snapshot;
}

static int compare(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

/* With the digest, which each new snapshot needs once. */
static void time_form(form_t form, const char *name, size_t members, int repeats) {
    static double ms[MOST];
    size_t bytes = 0;
    for (int i = 0; i < repeats; i++) {
        snapshot_cache_t cache;
        sgp_status_source_t source = {NULL, take, release, NULL};
        cache_init(&cache, &source);
        uint64_t begin = sgp_clock_now();
        rendered_t *rendered = cache_get(&cache, form, begin);
        ms[i] = (double)(sgp_clock_now() - begin) / 1e6;
        if (!rendered) exit(1);
        bytes = rendered->length;
        rendered_release(rendered);
        cache_fini(&cache);
    }
    qsort(ms, (size_t)repeats, sizeof *ms, compare);
    printf("%-13s %6zu members %8.2f ms, at least %.2f %9zu bytes\n", name, members,
           ms[repeats / 2], ms[0], bytes);
}

int main(int count, char **arguments) {
    static const char *const names[] = {"page",       "all members", "status.json",
                                        "Prometheus", "OpenMetrics", "event"};
    static const size_t members[] = {8, 64, 1024};
    int repeats = count > 1 ? atoi(arguments[1]) : 51;
    if (repeats < 1 || repeats > MOST) return 1;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        synthetic_make(&present, members[i]);
        synthetic_lose(&present, 3, "its process ended");
        synthetic_slow(&present, 5, 2);
        for (int form = 0; form < FORMS; form++)
            time_form((form_t)form, names[form], members[i], repeats);
        synthetic_free(&present);
    }
    return 0;
}
