/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp bench`: measures on the machines at hand what `sgp simulate` has to know. */
#include "bench/bench.h"
#include "command.h"
#include "launch/launch.h"
#include "cli/message.h"
#include "cli/output.h"
#include "launch/node_placement.h"

#include "base/constants.h"
#include "base/logging.h"
#include "model/model.h"
#include "files/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

enum { USUAL_NODES = 2 };

typedef struct bench_settings {
    int nodes; /* 0: not given */
    const char *transport;
    joining_t joining;
    const char *model;
    int batch_size;
    double megabytes;
    int rounds;
    const char *output;
    bool json, quiet, help;
} bench_settings_t;

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
     .help = "what carries the messages; auto: shm within a machine, tcp between machines"},
    {0},
};

static const option_t last_options[] = {
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .list = model_names,
     .shown = "none",
     .help = "model whose gradient is measured, on made-up images of 28 by 28"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(batch_size),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .help = "samples of a gradient"},
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
     .help = "rounds of pushes; the median counts"},
    {.name = "output",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(output),
     .initial = "calibration.json",
     .wanted = "the name of a file",
     .help = "where the constants are written, for sgp simulate --calibration",
     .more = "Node 0 writes it."},
    {.name = "quiet",
     .type = OPTION_FLAG,
     .offset = AT(quiet),
     .help = "print nothing; errors only"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print the file's object as one line instead of the text"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t bench_table = {
    .command = "bench",
    .synopsis = "sgp bench [OPTIONS]",
    .about = "Measures links, gradient and memory of the nodes, for some seconds, and writes\n"
             "what sgp simulate has to know of them. The nodes are started as those of sgp\n"
             "train are.",
    .parts = {{.rows = first_options},
              JOINING_PART(AT(joining), JOINING_MANUAL),
              {.rows = last_options}},
};

/* ---- the result ---- */

/* One node's, as it travels to node 0. */
typedef struct found {
    bench_links_t links;
    bench_local_t local;
} found_t;

/* The mean over the nodes of one of their numbers, `offset` in found_t, without those that have not measured it; NAN:
 * none has. */
static double mean_of(const found_t *all, int nodes, size_t offset) {
    double sum = 0;
    int count = 0;
    for (int r = 0; r < nodes; r++) {
        double value;
        memcpy(&value, (const char *)&all[r] + offset, sizeof value);
        if (isnan(value)) continue;
        sum += value;
        count++;
    }
    return count ? sum / count : NAN;
}

#define MEAN(member) mean_of(all, nodes, offsetof(found_t, member))

static json_t *object_of(const bench_settings_t *settings, const found_t *all, int nodes,
                         size_t numbers) {
    double gradient = MEAN(local.gradient);
    files_json_begin();
    json_t *object = json_pack(
        "{s:s, s:i, s:s, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o}", "kind",
        "calibration", "nodes", nodes, "transport", settings->transport, "rate_mbps",
        files_json_number(MEAN(links.together) * 8e-6), "pair_mbps",
        files_json_number(MEAN(links.alone) * 8e-6), "latency_ms",
        files_json_number(MEAN(links.latency) * 1e3), "model", settings->model, "parameters",
        files_json_number(MEAN(local.parameters)), "batch_size",
        settings->model ? json_integer(settings->batch_size) : json_null(), "gradient_ms",
        files_json_number(gradient * 1e3), "gradient_spread",
        files_json_number(sqrt(MEAN(local.gradient_variance)) / gradient), "pass_parameters",
        (int)numbers, "update_ms", files_json_number(MEAN(local.update) * 1e3), "copy_ms",
        files_json_number(MEAN(local.copy) * 1e3), "absorb_ms",
        files_json_number(MEAN(local.absorb) * 1e3));
    return object;
}

static void print_number(const char *name, const json_t *object, const char *key,
                         const char *unit) {
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value)) printf("%-13s%.4g %s\n", name, json_number_value(value), unit);
}

static void print_text(const bench_settings_t *settings, const json_t *object) {
    double megabytes = json_number_value(json_object_get(object, "pass_parameters")) * 4e-6;
    char passes[64];
    snprintf(passes, sizeof passes, "ms for a pass over %.4g MB", megabytes);
    print_number("rate", object, "rate_mbps", "Mb/s of each node, while all send and receive");
    print_number("", object, "pair_mbps", "Mb/s from one node to another, alone");
    print_number("latency", object, "latency_ms", "ms");
    print_number("gradient", object, "gradient_ms", "ms");
    print_number("", object, "gradient_spread", "of it: standard deviation");
    print_number("update", object, "update_ms", passes);
    print_number("copy", object, "copy_ms", passes);
    print_number("absorb", object, "absorb_ms", passes);
    printf("file         %s\n", settings->output);
}

static bool write_result(const bench_settings_t *settings, json_t *object) {
    bool written =
        object &&
        json_dump_file(object, settings->output, JSON_INDENT(2) | FILES_JSON_FLAGS) == 0 &&
        !files_json_failed();
    if (!written)
        message_error("--output %s: cannot be written: %s", settings->output, strerror(errno));
    else if (settings->json) written = output_json(object, FILES_JSON_FLAGS);
    else if (!settings->quiet) print_text(settings, object);
    json_decref(object);
    return written;
}

/* A file that cannot be written shows before the measuring. */
static bool check_output(const char *path) {
    FILE *file = fopen(path, "a");
    if (file && fclose(file) == 0) return true;
    message_error("--output %s: cannot be written: %s", path, strerror(errno));
    return false;
}

/* ---- one node ---- */

static sgp_status_t measure(sgp_group_t *group, const bench_settings_t *settings, found_t *all) {
    bench_work_t work = {.model = settings->model,
                         .batch_size = settings->batch_size,
                         .numbers = (size_t)(settings->megabytes * 1e6 / sizeof(float)),
                         .rounds = settings->rounds};
    found_t mine;
    sgp_status_t status = bench_links(group, &work, &mine.links);
    if (status == SGP_OK) status = bench_local(group, &work, &mine.local);
    if (status == SGP_OK) status = sgp_group_gather(group, &mine, sizeof mine, all);
    return status;
}

/* On a failure the group is not left in order: that is how the others learn of it. */
static int run_node(const bench_settings_t *settings, const place_t *place) {
    sgp_group_options_t group_options;
    sgp_group_t *group;
    sgp_log_set_rank(place->rank);
    joining_options(&settings->joining, settings->transport, settings->nodes, &group_options);
    sgp_status_t status = sgp_group_join(&group_options, &group);
    if (status != SGP_OK) return command_exit_status(status);
    int rank = sgp_group_rank(group), nodes = sgp_group_size(group);
    sgp_log_set_rank(rank);
    if (place->joins && rank == 0 && !check_output(settings->output)) return EXIT_MISTAKE;
    found_t *all = calloc((size_t)nodes, sizeof *all);
    if (!all) return EXIT_FAILED;
    status = measure(group, settings, all);
    bool good = status == SGP_OK;
    if (good) sgp_group_leave(group);
    size_t numbers = (size_t)(settings->megabytes * 1e6 / sizeof(float));
    if (good && rank == 0) good = write_result(settings, object_of(settings, all, nodes, numbers));
    free(all);
    return status != SGP_OK ? command_exit_status(status) : good ? 0 : EXIT_FAILED;
}

/* ---- all nodes ---- */

static int start_nodes(const bench_settings_t *settings, int argc, char **argv) {
    char **arguments = calloc((size_t)argc + 4, sizeof *arguments);
    if (!arguments) return EXIT_FAILED;
    int count = 0;
    arguments[count++] = (char *)"sgp";
    arguments[count++] = argv[0];
    if (strcmp(settings->transport, "tcp") == 0 && !settings->joining.interface &&
        !getenv("SGP_INTERFACE")) {
        arguments[count++] = (char *)"--interface";
        arguments[count++] = (char *)"127.0.0.1";
    }
    for (int i = 1; i < argc; i++) arguments[count++] = argv[i];
    int nodes = settings->nodes ? settings->nodes : USUAL_NODES;
    int status = launch(&(launch_options_t){.nodes = nodes, .file = SELF, .argv = arguments});
    free(arguments);
    return status;
}

/* One thread for each node: read by OpenMP when a program starts. */
static int start_again(char **argv) {
    setenv("OMP_NUM_THREADS", "1", 1);
    execv(SELF, argv - 1);
    message_error("%s: %s", SELF, strerror(errno));
    return EXIT_FAILED;
}

static int bench(bench_settings_t *settings, int argc, char **argv) {
    settings_t run; /* what place_find asks */
    place_t place;
    settings_init(&run);
    run.run.nodes = settings->nodes;
    run.run.transport = settings->transport;
    run.joining = settings->joining;
    if (!place_find(&run, &place)) return EXIT_MISTAKE;
    if (!joining_check(&settings->joining, settings->transport, place.placed)) return EXIT_MISTAKE;
    bool writes = !place.placed || (place.rank == 0 && !place.joins);
    if (writes && !check_output(settings->output)) return EXIT_MISTAKE;
    if (!place.placed) return start_nodes(settings, argc, argv);
    return getenv("OMP_NUM_THREADS") ? run_node(settings, &place) : start_again(argv);
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
