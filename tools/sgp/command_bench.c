/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp bench`: measures the constants of `sgp simulate` on real machines. */
#include "command.h"
#include "bench/bench.h"
#include "cli/message.h"
#include "launch/node_placement.h"
#include "launch/self.h"

#include "base/constants.h"
#include "model/model.h"

#include <stdlib.h>

enum { USUAL_NODES = 2 };

#define AT(member) offsetof(bench_settings_t, member)

static const option_t first_options[] = {
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(nodes),
     .min = 1,
     .max = SGP_MOST_PROCESSES,
     .shown = "2",
     .help = "start N nodes on this machine; with --join: nodes of the whole group"},
    {.name = "transport",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(transport),
     .initial = "auto",
     .choices = "auto, shm, tcp, mpi",
     .help = "how messages travel; auto: shm within a machine, tcp between machines"},
    {0},
};

static const option_t last_options[] = {
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .list = model_names,
     .shown = "none",
     .help = "the model whose gradient is measured, on random images of 28 by 28 pixels, or of 224 "
             "by 224 for resnet18 and larger"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch_size),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .help = "samples per gradient"},
    {.name = "megabytes",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(megabytes),
     .initial = "64",
     .min = 0.001,
     .max = 1e4,
     .wanted = "a number from 0.001 to 10000",
     .help = "size of a message, and of the vector for passes over memory"},
    {.name = "rounds",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(rounds),
     .initial = "5",
     .min = 1,
     .max = 10000,
     .help = "pushes of each kind, of which the median counts"},
    {.name = "output",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(output),
     .initial = "calibration.json",
     .wanted = "the name of a file",
     .help = "the file for the constants, which sgp simulate --calibration reads",
     .more = "Node 0 writes it."},
    {.name = "quiet", .type = OPTION_FLAG, .offset = AT(quiet), .help = "print errors only"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print the file's JSON object instead, as one line"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t bench_table = {
    .command = "bench",
    .synopsis = "sgp bench [OPTIONS]",
    .about = "Measures links, gradient and memory of the nodes for some seconds, and writes the\n"
             "constants that sgp simulate needs. The nodes are started like those of sgp train.",
    .parts = {{.rows = first_options},
              JOINING_PART(AT(joining), JOINING_MANUAL),
              {.rows = last_options}},
};

static int bench(bench_settings_t *settings, int argc, char **argv) {
    settings_t run; /* for node_placement_find */
    node_placement_t place;
    settings_init(&run);
    run.run.nodes = settings->nodes;
    run.run.transport = settings->transport;
    run.joining = settings->joining;
    if (!node_placement_find(&run, &place)) return EXIT_MISTAKE;
    if (!joining_check(&settings->joining, settings->transport, place.placed)) return EXIT_MISTAKE;
    bool writes = !place.placed || (place.rank == 0 && !place.joins);
    if (writes && !bench_check_output(settings->output)) return EXIT_MISTAKE;
    if (place.placed && !getenv("OMP_NUM_THREADS")) return self_restart(argv);
    if (place.placed) return bench_node(settings, place.rank, place.joins);
    int nodes = settings->nodes ? settings->nodes : USUAL_NODES;
    const char *const added[] = {NULL};
    return self_launch((launch_options_t){.nodes = nodes}, settings->transport, &settings->joining,
                       added, argc, argv);
}

int command_bench(int argc, char **argv) {
    const char *transport = getenv("SGP_TRANSPORT");
    bench_settings_t settings = {0};
    int first;
    options_init(&bench_table, &settings);
    if (transport && *transport) settings.transport = transport;
    if (!options_parse(&bench_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&bench_table);
        return 0;
    }
    message_log_library(NULL);
    return bench(&settings, argc, argv);
}
