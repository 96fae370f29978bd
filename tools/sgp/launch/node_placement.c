/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/node_placement.h"

#include "cli/message.h"

#include "group/join/placement.h"

#include <stdio.h>
#include <stdlib.h>

int node_placement_processes(const settings_t *settings) {
    return settings->run.nodes * settings->run.workers;
}

bool node_placement_find(const settings_t *settings, node_placement_t *place) {
    sgp_group_options_t options;
    sgp_placement_t found;
    int size = node_placement_processes(settings);
    *place = (node_placement_t){.rank = -1};
    if (!joining_check_join(&settings->joining, size)) return false;
    joining_options(&settings->joining, settings->run.transport, size, &options);
    if (sgp_placement_find(&options, &found) != SGP_OK) return false;
    if (!found.launcher) return true;
    *place = (node_placement_t){.placed = true,
                                .joins = found.launcher == &sgp_launcher_address,
                                .rank = found.rank,
                                .size = found.size,
                                .source = found.launcher->name};
    return true;
}

int node_placement_local(void) {
    /* torchrun's, Open MPI's, MPICH's. */
    static const char *const names[] = {"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
                                        "MPI_LOCALNRANKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        int here = text ? atoi(text) : 0;
        if (here > 0) return here;
    }
    return 1;
}

/* The numbers of workers per node into which `size` processes divide, as text. */
static void list_divisors(int size, char *text, size_t room) {
    size_t length = 0;
    for (int d = 1; d <= size && length < room; d++) {
        if (size % d) continue;
        const char *before = d == 1 ? "" : d == size ? " or " : ", ";
        length += (size_t)snprintf(text + length, room - length, "%s%d", before, d);
    }
}

static void complain(const train_options_t *run, const node_placement_t *place) {
    char right[256];
    list_divisors(place->size, right, sizeof right);
    if (place->size % run->workers)
        message_error(
            "--workers-per-node %d: this process is one of a group of %d (%s), which divides "
            "into nodes of %s workers",
            run->workers, place->size, place->source, right);
    else if (run->workers == 1)
        message_error("--nodes %d: this process is one of a group of %d (%s)", run->nodes,
                      place->size, place->source);
    else
        message_error(
            "--nodes %d: this process is one of a group of %d (%s), which are %d nodes of "
            "%d workers",
            run->nodes, place->size, place->source, place->size / run->workers, run->workers);
}

bool node_placement_set_nodes(settings_t *settings, const node_placement_t *place, bool loud) {
    train_options_t *run = &settings->run;
    if (place->size == 0) return true;
    if (run->nodes == 0 && place->size % run->workers == 0) run->nodes = place->size / run->workers;
    if (run->nodes * run->workers == place->size) return true;
    if (loud) complain(run, place);
    return false;
}
