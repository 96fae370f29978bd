/* SPDX-License-Identifier: Apache-2.0 */
#include "report/run_summary.h"

#include "cli/exit_status.h"
#include "report/gnuplot.h"
#include "cli/message.h"
#include "cli/output.h"
#include "report/report.h"
#include "report/report_number.h"

#include "files/json.h"
#include "run/mixing_plan.h"

#include <stdio.h>

static int print_json(const char *directory) {
    char path[4096];
    char problem[FILES_JSON_PROBLEM];
    json_t *json;
    snprintf(path, sizeof path, "%s/summary.json", directory);
    if (files_json_read(path, &json, problem) != SGP_OK) {
        message_error("%s: %s", path, problem);
        return EXIT_FAILED;
    }
    bool printed = output_json(json, JSON_PRESERVE_ORDER);
    if (!printed) message_error("%s: cannot be printed", path);
    json_decref(json);
    return printed ? 0 : EXIT_FAILED;
}

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

static void print_accuracy(const train_summary_t *summary) {
    char text[4][NUMBER_TEXT];
    printf("  accuracy     %s averaged model; nodes %s, worst %s, best %s\n",
           number_text("%.4f", summary->average_model_accuracy, text[0]),
           number_text("%.4f", summary->test_accuracy.mean, text[1]),
           number_text("%.4f", summary->test_accuracy.min, text[2]),
           number_text("%.4f", summary->test_accuracy.max, text[3]));
}

static void print_step(const train_summary_t *summary) {
    char text[4][NUMBER_TEXT];
    printf("  step         %s ms: median %s, 99th percentile %s, waiting %s\n",
           number_text("%.2f", summary->step_ms.mean, text[0]),
           number_text("%.2f", summary->step_ms.p50, text[1]),
           number_text("%.2f", summary->step_ms.p99, text[2]),
           number_text("%.2f", summary->wait_ms, text[3]));
}

/* "node 3 in step 120 (its process ended); the others waited 0.20 s", one line for each. */
static void print_losses(const train_options_t *run, const train_summary_t *summary) {
    for (int i = 0; i < summary->loss_count; i++) {
        const train_loss_t *loss = &summary->losses[i];
        printf("  %-12s node %d %s step %llu (%s)", loss->left ? "gone" : "lost", loss->node,
               loss->left ? "after" : "in", (unsigned long long)loss->step, loss->reason);
        if (!loss->left) printf("; the others waited %.2f s", loss->seconds);
        printf("\n");
    }
    for (int i = 0; i < summary->join_count; i++)
        printf("  %-12s node %d after step %llu\n", summary->joins[i].rejoined ? "back" : "joined",
               summary->joins[i].node, (unsigned long long)summary->joins[i].step);
    if (summary->loss_count > 0 && summary->join_count == 0)
        printf("  left         %d of %d nodes went on, %llu samples missed\n",
               run->nodes - summary->loss_count, run->nodes,
               (unsigned long long)summary->samples_missed);
    else if (summary->join_count > 0)
        printf("  nodes        %d at the end, %d at the beginning; %llu samples missed\n",
               run->nodes - summary->loss_count + summary->join_count, run->nodes,
               (unsigned long long)summary->samples_missed);
}

static void print_text(const train_options_t *run, const train_summary_t *summary) {
    char algorithms[TRAIN_STAGES_TEXT], workers[32] = "", rounds[32] = "", text[2][NUMBER_TEXT];
    int64_t per_step = train_rounds(run);
    if (run->workers > 1) snprintf(workers, sizeof workers, " of %d workers", run->workers);
    if (per_step > 1) snprintf(rounds, sizeof rounds, ", %d rounds per step", (int)per_step);
    printf("%s on %s, %d node%s%s, %s%s, %d epoch%s\n", run->model, run->data, run->nodes,
           plural(run->nodes), workers, train_algorithms_text(&run->algorithm, algorithms), rounds,
           run->epochs, plural(run->epochs));
    print_accuracy(summary);
    printf("  training     %s s, %s samples/s\n", number_text("%.1f", summary->seconds, text[0]),
           number_text("%.0f", summary->samples_per_second, text[1]));
    print_step(summary);
    printf("  consensus    distance %s, drift of the mass %s\n",
           number_text("%.2e", summary->consensus.distance, text[0]),
           number_text("%.1e", summary->consensus.drift, text[1]));
    print_losses(run, summary);
    printf("  directory    %s\n", run->output);
}

/* Without gnuplot the run has no report. A report that cannot be drawn does not fail the run. */
static void write_report(const settings_t *settings) {
    const char *directory = settings->run.output;
    if (!settings->quiet && gnuplot_found()) report_write(&directory, 1, directory);
}

void summary_print_early(const settings_t *settings, const train_summary_t *summary) {
    const char *directory = settings->run.output;
    write_report(settings);
    if (summary->state == TRAIN_DIVERGED) message_error("diverged: %s", summary->reason);
    if (summary->checkpoint == 0) message_line("%s: no checkpoint was written yet", directory);
    else if (summary->state == TRAIN_DIVERGED)
        message_line("%s: the checkpoint of step %llu is kept", directory,
                     (unsigned long long)summary->checkpoint);
    else
        message_line("sgp train --resume %s   # goes on from step %llu", directory,
                     (unsigned long long)summary->checkpoint);
    if (settings->json) print_json(directory);
}

int summary_print(const settings_t *settings, const train_summary_t *summary) {
    write_report(settings);
    if (settings->json) return print_json(settings->run.output);
    if (!settings->quiet) print_text(&settings->run, summary);
    return 0;
}
