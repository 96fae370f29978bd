/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_result.h"

#include "base/logging.h"
#include "files/content_hash.h"
#include "run/summary.h"

#include <stdlib.h>
#include <string.h>

static sgp_status_t gather_bad(const run_t *run, train_summary_t *summary) {
    run_bad_t *all = malloc((size_t)run->size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes' counters", run->size);
    sgp_status_t status = sgp_group_gather(run->group, &run->bad, sizeof *all, all);
    for (int i = 0; i < run->size && !status; i++) {
        summary->bad_pictures.replaced += all[i].replaced;
        summary->bad_pictures.left_out += all[i].left_out;
    }
    free(all);
    return status;
}

/* Counters over the nodes that are there, and their mean wait. */
static sgp_status_t gather_messages(const run_t *run, train_summary_t *summary) {
    sgp_mixer_statistics_t mine;
    sgp_mixer_statistics(run->replica.mixer, &mine);
    sgp_mixer_statistics_t *all = malloc((size_t)run->size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes' counters", run->size);
    sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    double nodes = presence_count(run->group);
    for (int i = 0; i < run->size && !status; i++) {
        summary->messages.sent += all[i].sent;
        summary->messages.received += all[i].received;
        summary->messages.late += all[i].late;
        summary->messages.staleness += all[i].staleness;
        summary->messages.refused += all[i].refused;
        summary->messages.resent += all[i].resent;
        summary->messages.reabsorbed += all[i].reabsorbed;
        summary->wait_ms += (double)all[i].wait_ns * 1e-6 / (double)run->step / nodes;
    }
    free(all);
    return status;
}

static sgp_status_t copy_losses(const run_t *run, train_summary_t *summary) {
    size_t count = (size_t)run->losses.count;
    if (count == 0) return SGP_OK;
    summary->losses = calloc(count, sizeof *summary->losses);
    if (!summary->losses) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu losses", count);
    memcpy(summary->losses, run->losses.agreed, count * sizeof *summary->losses);
    summary->loss_count = run->losses.count;
    return SGP_OK;
}

static sgp_status_t copy_joins(const run_t *run, train_summary_t *summary) {
    size_t count = (size_t)run->joins.count;
    if (count == 0) return SGP_OK;
    summary->joins = malloc(count * sizeof *summary->joins);
    if (!summary->joins) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu joins", count);
    memcpy(summary->joins, run->joins.list, count * sizeof *summary->joins);
    summary->join_count = run->joins.count;
    return SGP_OK;
}

static double epoch_samples(const run_t *run) {
    return (double)feed_epoch_samples(run->replica.feed, run->options->nodes);
}

sgp_status_t run_result_finished(run_t *run, train_summary_t *summary) {
    double samples = epoch_samples(run) * run->options->epochs - run->missed;
    times_summary_t times;
    *summary = (train_summary_t){
        .parameters = run->replica.parameters,
        .steps = run->step,
        .seconds = run->all_seconds,
        .samples_per_second = samples / run->all_seconds,
        .train_loss = run->train_loss,
        .test_accuracy = run->test_accuracy,
        .average_model_accuracy = run->average_model_accuracy,
        .test_accuracy5 = run->test_accuracy5,
        .average_model_accuracy5 = run->average_model_accuracy5,
        .consensus = run->consensus,
    };
    summary->samples_missed = (uint64_t)run->missed;
    summary->resumed = run->resumed;
    memcpy(summary->run_id, run->id, sizeof run->id);
    content_hash_of(run->replica.average, run->replica.parameters * sizeof *run->replica.average,
                    summary->parameters_hash);
    sgp_status_t status = times_gather(&run->times, run->group, &times);
    if (status) return status;
    summary->step_ms.mean = times.mean;
    summary->step_ms.p50 = times.p50;
    summary->step_ms.p99 = times.p99;
    status = gather_messages(run, summary);
    if (!status) status = gather_bad(run, summary);
    if (!status) status = run_losses_agree(&run->losses, run->step);
    if (!status) status = copy_losses(run, summary);
    return status ? status : copy_joins(run, summary);
}

void run_result_early(const run_t *run, train_summary_t *summary) {
    double samples = epoch_samples(run);
    double epochs = replica_epochs_done(&run->replica, run->step);
    train_summary_early(summary, TRAIN_FAILED);
    summary->parameters = run->replica.parameters;
    summary->steps = run->step;
    summary->checkpoint = run->saved;
    summary->seconds = run->seconds;
    summary->samples_per_second = samples * epochs / run->seconds;
    summary->train_loss = run->train_loss;
    summary->test_accuracy = run->test_accuracy;
    summary->average_model_accuracy = run->average_model_accuracy;
    summary->test_accuracy5 = run->test_accuracy5;
    summary->average_model_accuracy5 = run->average_model_accuracy5;
    summary->consensus = run->consensus;
    summary->bad_pictures.replaced = run->bad.replaced;
    summary->bad_pictures.left_out = run->bad.left_out;
    summary->samples_missed = (uint64_t)run->missed;
    summary->resumed = run->resumed;
    copy_losses(run, summary); /* without memory the lists are empty */
    copy_joins(run, summary);
    memcpy(summary->run_id, run->id, sizeof run->id);
}
