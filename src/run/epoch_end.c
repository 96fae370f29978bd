/* SPDX-License-Identifier: Apache-2.0 */
#include "run/epoch_end.h"

#include "base/clock.h"
#include "base/logging.h"
#include "run/agreement.h"
#include "run/evaluate.h"
#include "run/mass.h"
#include "run/pacing.h"
#include "run/run_data.h"
#include "run/run_live.h"
#include "run/run_output.h"
#include "run/run_progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The results of one process, as they travel: doubles only. */
typedef struct report {
    double epoch_seconds;
    double seconds; /* since the start of the run */
    double loss, samples;
    /* Of its node's model, on its part of the test set. */
    double own_loss, own_correct, own_correct5, own_count;
    double slice_correct, slice_correct5, slice_count; /* of the averaged model, on its slice */
    double replaced, left_out; /* pictures that could not be read, in this epoch */
} report_t;

static void fill_own(report_t *report, const evaluation_t *own) {
    report->own_loss = own->loss_sum;
    report->own_correct = (double)own->correct;
    report->own_correct5 = (double)own->correct5;
    report->own_count = (double)own->count;
}

static void fill_slice(report_t *report, const evaluation_t *slice) {
    report->slice_correct = (double)slice->correct;
    report->slice_correct5 = (double)slice->correct5;
    report->slice_count = (double)slice->count;
}

/* Test samples between two of `size` slices. */
static sgp_status_t evaluate_part(run_t *run, const evaluate_values_t *values, int count, int rank,
                                  int size, evaluation_t *results) {
    feed_t *feed = run->replica.feed;
    uint64_t samples = feed_shape(feed)->test_count;
    return evaluate(feed, run->replica.model, values, count, evaluate_slice(samples, rank, size),
                    evaluate_slice(samples, rank + 1, size), results);
}

/* The slice of the averaged model is that of this node among those that are there. One that is lost from here on leaves
 * its slice out: the accuracy is that of the others. */
static sgp_status_t evaluate_slice_of(run_t *run, const evaluate_values_t *values, int count,
                                      evaluation_t *results) {
    return evaluate_part(run, values, count, presence_place(run->group, run->rank),
                         presence_count(run->group), results);
}

/* The workers of a node together, on the node's whole test set. */
static sgp_status_t evaluate_of_node(run_t *run, const evaluate_values_t *values, int count,
                                     evaluation_t *results) {
    return evaluate_part(run, values, count, run->worker, run->options->workers, results);
}

/* The workers of a node together evaluate its model on the whole test set, and all processes together the averaged
 * model. If the data are private, each node evaluates both on its own test set. Of other pictures, which cost as much to
 * decode as a small model to compute, each process evaluates both models on its slice alone. */
static sgp_status_t evaluate_both(run_t *run, report_t *report) {
    replica_t *replica = &run->replica;
    evaluate_values_t values[2] = {
        {sgp_mixer_parameters(replica->mixer), sgp_mixer_buffers(replica->mixer)},
        {replica->average, replica->average + replica->parameters}};
    evaluation_t results[2];
    sgp_status_t status;
    if (run->options->private_data) status = evaluate_of_node(run, values, 2, results);
    else if (feed_shape(replica->feed)->pictures)
        status = evaluate_slice_of(run, values, 2, results);
    else {
        status = evaluate_of_node(run, &values[0], 1, &results[0]);
        if (!status) status = evaluate_slice_of(run, &values[1], 1, &results[1]);
    }
    if (status) return status;
    fill_own(report, &results[0]);
    fill_slice(report, &results[1]);
    run->bad.left_out += results[1].left_out;
    return SGP_OK;
}

/* With compute_ms nothing is learned and nothing evaluated: counts stay 0, and accuracies are NAN. */
static sgp_status_t evaluate_models(run_t *run, report_t *report) {
    if (run->options->compute_ms > 0) return SGP_OK;
    uint64_t start = sgp_trace_begin(run->trace.trace);
    sgp_status_t status = evaluate_both(run, report);
    if (status) return status;
    sgp_trace_end(run->trace.trace, SGP_TRACE_COMPUTING, SGP_TRACE_EVALUATE, start);
    report->replaced = (double)(run->bad.replaced - run->bad_before.replaced);
    report->left_out = (double)(run->bad.left_out - run->bad_before.left_out);
    return SGP_OK;
}

/* The sums over the workers of a node, about its model. */
static report_t report_of_node(const report_t *reports, int node, int workers) {
    report_t sum = {0};
    for (int i = node * workers; i < (node + 1) * workers; i++) {
        sum.own_loss += reports[i].own_loss;
        sum.own_correct += reports[i].own_correct;
        sum.own_correct5 += reports[i].own_correct5;
        sum.own_count += reports[i].own_count;
    }
    return sum;
}

/* Over the nodes that are there. five: top-5. */
static train_spread_t spread_of_accuracy(const run_t *run, const report_t *reports, bool five) {
    train_spread_t spread = {.mean = 0, .min = INFINITY, .max = -INFINITY};
    int workers = run->options->workers, nodes = run_nodes_left(run);
    for (int i = 0; i < run->size / workers; i++) {
        if (!presence_has(run->group, i * workers)) continue;
        report_t node = report_of_node(reports, i, workers);
        double accuracy = (five ? node.own_correct5 : node.own_correct) / node.own_count;
        if (isnan(accuracy)) return (train_spread_t){NAN, NAN, NAN};
        spread.mean += accuracy / nodes;
        spread.min = fmin(spread.min, accuracy);
        spread.max = fmax(spread.max, accuracy);
    }
    return spread;
}

static double epoch_samples(const run_t *run) {
    return (double)feed_epoch_samples(run->replica.feed, run->options->nodes);
}

/* Sums in order of rank: the same results on every node. The reports of absent nodes are zeros. */
static void combine(run_t *run, const report_t *reports) {
    double loss = 0, samples = 0, correct = 0, correct5 = 0, count = 0, slowest = 0;
    for (int i = 0; i < run->size; i++) {
        loss += reports[i].loss;
        samples += reports[i].samples;
        correct += reports[i].slice_correct;
        correct5 += reports[i].slice_correct5;
        count += reports[i].slice_count;
        slowest = fmax(slowest, reports[i].epoch_seconds);
    }
    run->train_loss = loss / samples;
    run->average_model_accuracy = correct / count;
    run->average_model_accuracy5 = correct5 / count;
    run->test_accuracy = spread_of_accuracy(run, reports, false);
    run->test_accuracy5 = spread_of_accuracy(run, reports, true);
    run->all_seconds += slowest;
    /* Of a part that a lost node had read alone nobody knows how much it has taken: all counts as missed. */
    if (train_keeps_parts(run->options) && presence_count(run->group) < run->founders)
        run->missed += fmax(0, epoch_samples(run) - samples);
}

/* No better than a guess: the loss of a uniform guess or more over a whole epoch, and about one
 * class recognised. */
static bool is_at_chance(const run_t *run) {
    double classes = feed_shape(run->replica.feed)->classes;
    return run->train_loss > 0.98 * log(classes) && run->average_model_accuracy < 1.2 / classes;
}

/* Warns once. */
static void warn_if_useless(run_t *run, uint64_t epoch) {
    bool finite = isfinite(run->train_loss);
    if (run->options->compute_ms > 0 || run->warned) return;
    if (finite && !is_at_chance(run)) return;
    run->warned = true; /* all nodes know: the next one leads after the loss of the first */
    if (!run_leads(run)) return;
    if (!finite)
        sgp_log(SGP_LOG_WARNING, "the training loss of epoch %d is not finite", (int)epoch + 1);
    else
        sgp_log(
            SGP_LOG_WARNING,
            "after epoch %d the accuracy is %.3f, no better than a guess among %d classes: try an "
            "lr below %g",
            (int)epoch + 1, run->average_model_accuracy, feed_shape(run->replica.feed)->classes,
            run->options->lr);
}

static void warn_if_drifted(const run_t *run, uint64_t epoch) {
    char when[48];
    snprintf(when, sizeof when, "at the end of epoch %d", (int)epoch + 1);
    mass_warn(run, &run->consensus, when);
}

/* The files of an epoch, without the lines that they have already. A node that writes them instead of a lost one first puts them
 * in order. ended: the time of the
 * epoch's last step, as pacing_wall_time. */
static sgp_status_t write_files(run_t *run, metrics_lines_t *lines, const metrics_epoch_t *all,
                                const metrics_node_t *nodes, double ended) {
    sgp_status_t status = SGP_OK;
    if (!run_writes(run)) return SGP_OK;
    lines->first = run_live_settle(run, all->epoch);
    if (run->writer != run->rank) {
        lines->first = 0;
        status = run_output_take_over(run, (uint64_t)all->epoch - 1);
    }
    if (!status) status = metrics_write(lines, run->options->output, all, nodes);
    if (!status && run->options->tensorboard)
        status = run_tensorboard_write(&run->tensorboard, lines, all, nodes, ended);
    return status;
}

/* The first node writes; if it is lost before all know that it has written, the next one does. */
static sgp_status_t write_together(run_t *run, metrics_lines_t *lines, const metrics_epoch_t *all,
                                   const metrics_node_t *nodes, double ended) {
    sgp_status_t status;
    do {
        int writer = presence_first(run->group);
        status = agreement_share(run->group, write_files(run, lines, all, nodes, ended));
        run->writer = writer;
    } while (!status && !presence_has(run->group, run->writer));
    return status;
}

static sgp_status_t write_metrics(run_t *run, uint64_t epoch, const report_t *reports, double ended,
                                  metrics_node_t *nodes /* (size) */) {
    int workers = run->options->workers;
    for (int i = 0; i < run->size; i++) {
        report_t node = report_of_node(reports, i / workers, workers);
        nodes[i] = (metrics_node_t){
            .seconds = reports[i].seconds,
            .train_loss = reports[i].loss / reports[i].samples,
            .test_loss = node.own_loss / node.own_count,
            .test_accuracy = node.own_correct / node.own_count,
            .test_accuracy5 = node.own_correct5 / node.own_count,
            .replaced = reports[i].replaced,
            .left_out = reports[i].left_out,
        };
    }
    metrics_epoch_t all = {.epoch = (int)epoch + 1,
                           .step = run->step,
                           .average_model_accuracy = run->average_model_accuracy,
                           .average_model_accuracy5 = run->average_model_accuracy5,
                           .consensus = run->consensus,
                           .losses = run->losses.agreed + run->losses.reported,
                           .loss_count = run->losses.count - run->losses.reported};
    metrics_lines_t lines;
    sgp_status_t status = metrics_gather(&run->metrics, run->group, &lines);
    if (status) return status;
    lines.workers = workers;
    status = write_together(run, &lines, &all, nodes, ended);
    run->losses.reported += all.loss_count;
    metrics_release(&lines);
    return status;
}

static sgp_status_t exchange(run_t *run, uint64_t epoch, double ended, const report_t *mine) {
    size_t size = (size_t)run->size;
    report_t *reports = malloc(size * sizeof *reports);
    metrics_node_t *nodes = malloc(size * sizeof *nodes);
    sgp_status_t status = SGP_OK;
    if (!reports || !nodes)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the results of %zu nodes", size);
    status = agreement_share(run->group, status);
    if (!status) status = sgp_group_gather(run->group, mine, sizeof *mine, reports);
    if (status) goto free_both;
    combine(run, reports);
    warn_if_useless(run, epoch);
    warn_if_drifted(run, epoch);
    status = write_metrics(run, epoch, reports, ended, nodes);
free_both:
    free(reports);
    free(nodes);
    return status;
}

sgp_status_t epoch_end_run(run_t *run, uint64_t epoch) {
    uint64_t start = sgp_clock_now();
    double ended = pacing_wall_time();
    limits_epoch(&run->limits, run->seconds - run->seconds_before);
    report_t report = {.epoch_seconds = run->seconds - run->seconds_before,
                       .seconds = run->seconds,
                       .loss = run->epoch_sums.loss,
                       .samples = run->epoch_sums.samples};
    sgp_status_t status =
        sgp_mixer_average(run->replica.mixer, run->replica.average, &run->consensus);
    run->mixed_nodes = run_nodes_left(run);
    if (!status) status = run_losses_agree(&run->losses, run->step);
    if (!status) status = run_data_follow(run);
    if (!status) status = agreement_share(run->group, evaluate_models(run, &report));
    if (!status) status = exchange(run, epoch, ended, &report);
    if (!status) status = run_output_trace(run);
    if (status == SGP_ERR_PEER_LOST && run_stopped(run)) return SGP_ERR_INTERRUPTED;
    if (status) return status;
    run->epoch_end_seconds = (double)(sgp_clock_now() - start) * 1e-9;
    run_progress_after_epoch(run, epoch);
    return SGP_OK;
}
