/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: every node has a number, and all agree on the mean by PushSum.
 *
 * sgp run --nodes 4 -- ./average
 *
 * Each node prints its number and its estimate of the mean. With 4 nodes, 2 steps give the exact
 * mean: each node sends to one other per step, first to its neighbour, then to the node two
 * away. */
#include <sgp/sgp.h>

#include <stdio.h>
#include <stdlib.h>

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "average: node %d: %s\n", rank, line);
}

static void must(sgp_status_t status) {
    if (status != SGP_OK) exit(EXIT_FAILURE); /* the log has the cause */
}

int main(void) {
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    must(sgp_group_join(&(sgp_group_options_t){0}, &group));
    int rank = sgp_group_rank(group), size = sgp_group_size(group);

    float mine = (float)(10 * (rank + 1));
    must(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = 1}, &mine, &mixer));
    sgp_graph_t graph = {.size = size};
    for (int step = 0; step < sgp_graph_period(&graph); step++)
        must(sgp_mixer_step(mixer, NULL, NULL, 0));

    float mean = 0;
    must(sgp_mixer_average(mixer, &mean, NULL));
    printf("node %d of %d: mine %g, mean %g, exact mean %g\n", rank, size, (double)mine,
           (double)sgp_mixer_parameters(mixer)[0], (double)mean);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return 0;
}
