/* SPDX-License-Identifier: Apache-2.0 */
/* One node of a benchmark, from joining the group to the result. */
#include "bench/bench.h"

#include "cli/exit_status.h"

#include "base/logging.h"

#include <stdlib.h>

static sgp_status_t measure(sgp_group_t *group, const bench_settings_t *settings,
                            bench_found_t *all) {
    bench_work_t work = {.model = settings->model,
                         .batch_size = settings->batch_size,
                         .numbers = bench_numbers(settings),
                         .rounds = settings->rounds};
    bench_found_t mine;
    sgp_status_t status = bench_links(group, &work, &mine.links);
    if (status == SGP_OK) status = bench_local(group, &work, &mine.local);
    if (status == SGP_OK) status = sgp_group_gather(group, &mine, sizeof mine, all);
    return status;
}

/* On a failure the group is not left in order, and the other nodes see this one as lost. */
int bench_node(const bench_settings_t *settings, int rank, bool check) {
    sgp_group_options_t group_options;
    sgp_group_t *group;
    sgp_log_set_rank(rank);
    joining_options(&settings->joining, settings->transport, settings->nodes, &group_options);
    sgp_status_t status = sgp_group_join(&group_options, &group);
    if (status != SGP_OK) return exit_status_of(status);
    int nodes = sgp_group_size(group);
    rank = sgp_group_rank(group);
    sgp_log_set_rank(rank);
    if (check && rank == 0 && !bench_check_output(settings->output)) return EXIT_MISTAKE;
    bench_found_t *all = calloc((size_t)nodes, sizeof *all);
    if (!all) return EXIT_FAILED;
    status = measure(group, settings, all);
    bool good = status == SGP_OK;
    if (good) sgp_group_leave(group);
    if (good && rank == 0) good = bench_write(settings, all, nodes);
    free(all);
    return status != SGP_OK ? exit_status_of(status) : good ? 0 : EXIT_FAILED;
}
