/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the calibration file and prints its values. */
#include "bench/bench.h"

#include "cli/message.h"
#include "cli/output.h"

#include "files/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

size_t bench_numbers(const bench_settings_t *settings) {
    return (size_t)(settings->megabytes * 1e6 / sizeof(float));
}

/* The mean of a member, at `offset` in bench_found_t, over the nodes that measured it; NAN: no node
 * did. */
static double mean_of(const bench_found_t *all, int nodes, size_t offset) {
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

#define MEAN(member) mean_of(all, nodes, offsetof(bench_found_t, member))

static json_t *object_of(const bench_settings_t *settings, const bench_found_t *all, int nodes) {
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
        (int)bench_numbers(settings), "update_ms", files_json_number(MEAN(local.update) * 1e3),
        "copy_ms", files_json_number(MEAN(local.copy) * 1e3), "absorb_ms",
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
    print_number("", object, "gradient_spread", "of that: standard deviation");
    print_number("update", object, "update_ms", passes);
    print_number("copy", object, "copy_ms", passes);
    print_number("absorb", object, "absorb_ms", passes);
    printf("file         %s\n", settings->output);
}

bool bench_write(const bench_settings_t *settings, const bench_found_t *all, int nodes) {
    json_t *object = object_of(settings, all, nodes);
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

bool bench_check_output(const char *path) {
    FILE *file = fopen(path, "a");
    if (file && fclose(file) == 0) return true;
    message_error("--output %s: cannot be written: %s", path, strerror(errno));
    return false;
}
