/* SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

#include "command.h"
#include "gnuplot.h"
#include "message.h"
#include "output.h"
#include "report.h"

#include "train/json.h"

#include <stdio.h>

static int print_json(const char *directory) {
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, "%s/summary.json", directory);
    json_t *json = train_json_load(path, 0, &error);
    bool printed = output_json(json, JSON_PRESERVE_ORDER);
    if (train_json_failed()) message_error("%s: no memory to print it", path);
    else if (!printed) message_error("%s: %s", path, json ? "cannot be printed" : error.text);
    json_decref(json);
    return printed ? 0 : EXIT_FAILED;
}

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

static void print_text(const train_options_t *run, const train_summary_t *summary) {
    char algorithms[TRAIN_STAGES_TEXT], workers[32] = "";
    if (run->workers > 1) snprintf(workers, sizeof workers, " of %d workers", run->workers);
    printf("%s on %s, %d node%s%s, %s, %d epoch%s: %.1f s, %.0f samples/s\n", run->model, run->data,
           run->nodes, plural(run->nodes), workers,
           train_algorithms_text(&run->algorithm, algorithms), run->epochs, plural(run->epochs),
           summary->seconds, summary->samples_per_second);
    printf("  accuracy     %.4f of the averaged model; of the nodes: mean %.4f, worst %.4f, best "
           "%.4f\n",
           summary->average_model_accuracy, summary->test_accuracy.mean, summary->test_accuracy.min,
           summary->test_accuracy.max);
    printf("  step         %.2f ms (median %.2f, 99th percentile %.2f), waiting %.2f ms of it\n",
           summary->step_ms.mean, summary->step_ms.p50, summary->step_ms.p99, summary->wait_ms);
    printf("  consensus    distance %.2e, drift of the mass %.1e\n", summary->consensus.distance,
           summary->consensus.drift);
    printf("  directory    %s\n", run->output);
}

/* A run without a gnuplot has no report, and one that cannot be drawn is no reason to fail. */
static void write_report(const settings_t *settings) {
    const char *directory = settings->run.output;
    if (!settings->quiet && gnuplot_found()) report_write(&directory, 1, directory);
}

int summary_print(const settings_t *settings, const train_summary_t *summary) {
    write_report(settings);
    if (settings->json) return print_json(settings->run.output);
    if (!settings->quiet) print_text(&settings->run, summary);
    return 0;
}
