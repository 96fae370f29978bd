/* SPDX-License-Identifier: Apache-2.0 */
/* One of many nodes that join at once. Says "ready", waits for a line, joins, meets the others at a barrier, which opens its links, and
 * prints: the clock (CLOCK_MONOTONIC) when it had joined and when it had met them, and the processor time of either, all in
 * milliseconds. Ends with its standard input. The group comes from the environment: SGP_RANK, SGP_SIZE, SGP_JOIN, ... bench/handshake
 * starts this program. */
#include <sgp/sgp.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "node %d: %s\n", rank, line);
}

static double ms_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

typedef struct moment {
    double clock, processor;
} moment_t;

static moment_t moment_now(void) {
    return (moment_t){ms_of(CLOCK_MONOTONIC), ms_of(CLOCK_PROCESS_CPUTIME_ID)};
}

int main(void) {
    const sgp_group_options_t options = {0};
    sgp_group_t *group = NULL;
    sgp_log_set(print_log, NULL, SGP_LOG_ERROR);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return EXIT_FAILURE;
    moment_t begun = moment_now();
    if (sgp_group_join(&options, &group) != SGP_OK) return EXIT_FAILURE;
    moment_t joined = moment_now();
    if (sgp_group_barrier(group) != SGP_OK) return EXIT_FAILURE;
    moment_t met = moment_now();
    printf("%.3f %.3f %.3f %.3f\n", joined.clock, met.clock, joined.processor - begun.processor,
           met.processor - begun.processor);
    fflush(stdout);
    while (getchar() != EOF) continue;
    sgp_group_leave(group);
    return EXIT_SUCCESS;
}
