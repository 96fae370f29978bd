/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate_output.h"

#include "cli/message.h"
#include "cli/output.h"
#include "cli/text.h"

#include "files/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Samples per second and node, relative to the algorithm's first row. */
static double scaling(const simulate_settings_t *settings, const simulation_row_t *rows, int at) {
    return rows[at].samples_per_second / settings->nodes[at] /
           (rows[0].samples_per_second / settings->nodes[0]);
}

/* ---- the table ---- */

enum { COLUMNS = 80 };

/* "25.6M". */
static void format_count(double count, char *text, size_t size) {
    if (count >= 1e9) snprintf(text, size, "%.4gG", count / 1e9);
    else if (count >= 1e6) snprintf(text, size, "%.4gM", count / 1e6);
    else if (count >= 1e3) snprintf(text, size, "%.4gK", count / 1e3);
    else snprintf(text, size, "%.0f", count);
}

static void print_settings(const simulate_settings_t *settings) {
    char count[32];
    const simulation_network_t *network = &settings->simulation.network;
    const simulation_local_t *local = &settings->simulation.local;
    format_count(settings->simulation.parameters, count, sizeof count);
    printf("%s%s%s parameters in %s, %.4g MB; %d worker%s per node\n",
           settings->model ? settings->model : "", settings->model ? ", " : "", count,
           settings->encoding_name, simulation_bytes(&settings->simulation) / 1e6,
           settings->simulation.workers, settings->simulation.workers == 1 ? "" : "s");
    printf("gradient %g ms, spread %g", settings->simulation.compute.mean_ms,
           settings->simulation.compute.spread);
    if (settings->simulation.compute.tail > 0)
        printf(", ten times as long with probability %g", settings->simulation.compute.tail);
    printf("\npasses of %g, %g and %g ms; seed %llu\n", local->update_ms, local->copy_ms,
           local->absorb_ms, (unsigned long long)settings->simulation.seed);
    if (network->platform) printf("%s\n\n", network->platform);
    else
        printf("%s: %.4g Mb/s each way, %g ms\n\n", network->name,
               network->bytes_per_second * 8 / 1e6, network->latency_ms);
}

static int name_width(const simulate_settings_t *settings) {
    int width = (int)strlen("algorithm");
    for (int a = 0; a < settings->algorithms_count; a++) {
        int length = (int)strlen(settings->algorithms[a]->name);
        if (length > width) width = length;
    }
    return width;
}

void simulate_print_head(const simulate_settings_t *settings) {
    int width = name_width(settings);
    print_settings(settings);
    printf("%-*s %5s %7s %7s %6s %7s %6s %5s %6s %5s\n", width, "", "", "step", "node", "wait",
           "samples", "effi-", "scal-", "90 ep.", "dis-");
    printf("%-*s %5s %7s %7s %6s %7s %6s %5s %6s %5s\n", width, "algorithm", "nodes", "ms", "ms",
           "ms", "/s", "ciency", "ing", "hours", "tance");
}

static void print_then(const simulate_settings_t *settings, const simulation_row_t *row) {
    if (settings->simulation.distance_at_s == 0) return;
    printf("    after %g s: ", settings->simulation.distance_at_s);
    if (isfinite(row->distance_at))
        printf("%.1f steps, distance %.3f\n", row->steps_at, row->distance_at);
    else printf("not reached by all nodes; use more --steps\n");
}

static void print_hours(const char *what, double hours) {
    if (isfinite(hours)) printf("    90 epochs %s: %.4g h\n", what, hours);
    else printf("    90 epochs %s: never\n", what);
}

static void print_end(const simulate_settings_t *settings, int nodes, const simulation_row_t *row) {
    const simulation_settings_t *with = &settings->simulation;
    if (with->failures_s == 0) return;
    if (row->failed > 0) {
        printf("    %d of %d failed: the others lose %.2g s for each, %.2g s in a step\n",
               row->failed, nodes, row->held_up_s,
               fmax(0, row->longest_with_failures_ms - row->longest_ms) * 1e-3);
        print_hours("without restarts", simulation_hours_with_losses(with, nodes, row));
    }
    print_hours("with restarts from the last epoch",
                simulation_hours_with_restarts(with, nodes, row));
    print_hours("with restarts from the best checkpoints",
                simulation_hours_with_checkpoints(with, nodes, row));
}

/* Drops decimals if the number is too wide, and falls back to 1e+06. */
static void print_number(int width, int decimals, double value) {
    char text[400] = "-";
    if (isfinite(value)) {
        int length = snprintf(text, sizeof text, "%.*f", decimals, value);
        while (length > width && decimals > 0)
            length = snprintf(text, sizeof text, "%.*f", --decimals, value);
        if (length > width) snprintf(text, sizeof text, "%.0e", value);
    }
    printf(" %*s", width, text);
}

void simulate_print_row(const simulate_settings_t *settings, int algorithm,
                        const simulation_row_t *rows, int at) {
    const simulation_row_t *row = &rows[at];
    printf("%-*s %5d", name_width(settings), settings->algorithms[algorithm]->name,
           settings->nodes[at]);
    print_number(7, 2, row->step_ms);
    print_number(7, 2, row->node_ms);
    print_number(6, 2, row->wait_ms);
    print_number(7, 0, row->samples_per_second);
    print_number(6, 3, simulation_efficiency(&settings->simulation, row));
    print_number(5, 3, scaling(settings, rows, at));
    print_number(6, 2, simulation_hours(row));
    print_number(5, 3, row->distance);
    putchar('\n');
    print_then(settings, row);
    print_end(settings, settings->nodes[at], row);
    fflush(stdout);
}

/* Lines after the first are indented by two columns. */
static void print_wrapped(const char *text) {
    int column = 0;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column && column + 1 + word > COLUMNS) column = printf("\n ") - 1;
        column += printf("%s%.*s", column ? " " : "", word, text);
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

/* The columns, and the algorithms that `sgp train` does not have. */
void simulate_print_legend(const simulate_settings_t *settings) {
    char text[256];
    snprintf(
        text, sizeof text,
        "\nEfficiency: gradient and update over the step; scaling: samples/s and node relative "
        "to %d node%s; distance: between the nodes, in units of a step's noise.",
        settings->nodes[0], settings->nodes[0] == 1 ? "" : "s");
    print_wrapped(text);
    for (int a = 0; a < settings->algorithms_count; a++) {
        const simulation_algorithm_t *algorithm = settings->algorithms[a];
        if (algorithm->algorithm != SGP_ALGORITHM_ALLREDUCE) continue;
        snprintf(text, sizeof text, "%s: %s", algorithm->name, algorithm->about);
        print_wrapped(text);
    }
}

/* ---- simulation.json ---- */

static json_t *failures_object(const simulate_settings_t *settings, const simulation_row_t *row,
                               int at) {
    double hours = simulation_hours_with_losses(&settings->simulation, settings->nodes[at], row);
    return json_pack("{s:i, s:o, s:o, s:o, s:o}", "nodes", row->failed, "held_up_s",
                     files_json_number(row->held_up_s), "longest_step_ms",
                     files_json_number(row->longest_with_failures_ms), "longest_step_without_ms",
                     files_json_number(row->longest_ms), "hours_90_epochs",
                     files_json_number(hours));
}

static json_t *row_object(const simulate_settings_t *settings, int a, const simulation_row_t *rows,
                          int at) {
    const simulation_row_t *row = &rows[at];
    json_t *object = json_pack(
        "{s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "algorithm", settings->algorithms[a]->name, "nodes", settings->nodes[at], "steps",
        row->steps, "step_ms", files_json_number(row->step_ms), "mean_node_ms",
        files_json_number(row->node_ms), "fastest_node_ms", files_json_number(row->fastest_ms),
        "slowest_node_ms", files_json_number(row->slowest_ms), "gradient_ms",
        files_json_number(row->gradient_ms), "wait_ms", files_json_number(row->wait_ms),
        "samples_per_second", files_json_number(row->samples_per_second), "efficiency",
        files_json_number(simulation_efficiency(&settings->simulation, row)), "scaling_efficiency",
        files_json_number(scaling(settings, rows, at)), "hours_90_epochs",
        files_json_number(simulation_hours(row)), "bytes_per_step",
        files_json_number(row->bytes_per_step), "consensus_distance",
        files_json_number(row->distance), "seconds", files_json_number(row->seconds));
    if (settings->simulation.distance_at_s > 0)
        json_object_set_new(object, "then",
                            json_pack("{s:f, s:o, s:o}", "seconds",
                                      settings->simulation.distance_at_s, "steps",
                                      files_json_number(row->steps_at), "consensus_distance",
                                      files_json_number(row->distance_at)));
    if (settings->simulation.failures_s == 0) return object;
    json_object_set_new(object, "hours_90_epochs_with_restarts",
                        files_json_number(simulation_hours_with_restarts(
                            &settings->simulation, settings->nodes[at], row)));
    json_object_set_new(object, "hours_90_epochs_with_checkpoints",
                        files_json_number(simulation_hours_with_checkpoints(
                            &settings->simulation, settings->nodes[at], row)));
    if (row->failed > 0)
        json_object_set_new(object, "failures", failures_object(settings, row, at));
    return object;
}

static json_t *rows_array(const simulate_settings_t *settings, const simulation_row_t *rows,
                          int finished) {
    json_t *array = json_array();
    for (int row = 0; row < finished; row++) {
        int a = row / settings->nodes_count, first = a * settings->nodes_count;
        json_array_append_new(array, row_object(settings, a, rows + first, row - first));
    }
    return array;
}

static json_t *network_object(const simulation_network_t *network) {
    if (network->platform) {
        char *clean = text_clean(network->platform); /* a path need not be UTF-8, but JSON must */
        json_t *object = json_pack("{s:s}", "platform", clean ? clean : "");
        free(clean);
        return object;
    }
    return json_pack("{s:s, s:f, s:f}", "name", network->name, "rate_mbps",
                     network->bytes_per_second * 8 / 1e6, "latency_ms", network->latency_ms);
}

static json_t *settings_object(const simulate_settings_t *settings) {
    const simulation_compute_t *compute = &settings->simulation.compute;
    const simulation_local_t *local = &settings->simulation.local;
    json_t *object = json_pack(
        "{s:o, s:f, s:s, s:f, s:{s:f, s:f, s:f}, s:{s:f, s:f, s:f}, s:o, s:i, s:i, s:s?, s:i, "
        "s:o, s:i, s:i, s:o}",
        "model", settings->model ? json_string(settings->model) : json_null(), "parameters",
        settings->simulation.parameters, "encoding", settings->encoding_name, "vector_bytes",
        simulation_bytes(&settings->simulation), "compute_ms", "mean", compute->mean_ms, "spread",
        compute->spread, "tail", compute->tail, "local_ms", "update", local->update_ms, "copy",
        local->copy_ms, "absorb", local->absorb_ms, "network",
        network_object(&settings->simulation.network), "workers_per_node",
        settings->simulation.workers, "batch_size", settings->simulation.batch_size, "graph",
        settings->simulation.graph, "peers", settings->simulation.peers, "overlap",
        settings->simulation.overlap == SGP_OVERLAP_ASYNC
            ? json_string("async")
            : json_integer(settings->simulation.overlap),
        "steps", settings->simulation.steps, "warmup_steps", settings->simulation.warmup, "seed",
        files_json_u64(settings->simulation.seed));
    json_object_set_new(object, "rounds",
                        settings->simulation.rounds == SGP_ROUNDS_AUTO
                            ? json_string("auto")
                            : json_integer(settings->simulation.rounds));
    if (settings->simulation.slow.rank >= 0)
        json_object_set_new(object, "slow_node",
                            json_pack("{s:i, s:f}", "rank", settings->simulation.slow.rank,
                                      "factor", settings->simulation.slow.factor));
    if (settings->simulation.distance_at_s > 0)
        json_object_set_new(object, "distance_at_s", json_real(settings->simulation.distance_at_s));
    if (settings->simulation.failures_s > 0)
        json_object_set_new(object, "failures_s", json_real(settings->simulation.failures_s));
    if (settings->simulation.failures_s > 0 && settings->simulation.repair_s >= 0)
        json_object_set_new(object, "repair_s", json_real(settings->simulation.repair_s));
    return object;
}

/* Values that no option changes. */
static json_t *constants_object(void) {
    return json_pack("{s:i, s:f, s:f, s:i, s:i, s:f, s:i, s:i, s:i}", "tail_factor",
                     SIMULATION_TAIL_FACTOR, "bucket_bytes", SIMULATION_BUCKET_BYTES,
                     "forward_part_of_gradient", SIMULATION_FORWARD, "failure_noticed_s",
                     SIMULATION_NOTICE, "restart_s", SIMULATION_RESTART, "failure_silent_s",
                     SIMULATION_SILENCE, "checkpoint_s", SIMULATION_CHECKPOINT, "samples_per_epoch",
                     (int)SIMULATION_SAMPLES, "epochs", SIMULATION_EPOCHS);
}

bool simulate_write(const simulate_settings_t *settings, const simulation_row_t *rows,
                    int finished) {
    files_json_begin();
    json_t *json = json_pack("{s:s, s:s?, s:o, s:o, s:o}", "kind", "simulation", "command",
                             settings->command, "settings", settings_object(settings), "constants",
                             constants_object(), "rows", rows_array(settings, rows, finished));
    if (finished < simulate_rows_count(settings))
        json_object_set_new(json, "interrupted", json_true());
    bool printed = !settings->json || output_json(json, FILES_JSON_FLAGS);
    if (!printed) message_error("simulate: the JSON object could not be written");
    return files_json_write(settings->output, "simulation.json", json) == SGP_OK && printed;
}
