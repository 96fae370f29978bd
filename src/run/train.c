/* SPDX-License-Identifier: Apache-2.0 */
#include "run/train.h"

#include "base/logging.h"
#include "mixing/mixer_internal.h"
#include "run/agreement.h"
#include "run/check.h"
#include "run/checkpoint.h"
#include "run/config.h"
#include "run/ending.h"
#include "files/json.h"
#include "run/mass.h"
#include "files/model_file.h"
#include "run/mixing_plan.h"
#include "run/resume.h"
#include "run/summary.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sgp_status_t check_place(const run_t *run) {
    int nodes = sgp_group_size(run->nodes), workers = run->inside ? sgp_group_size(run->inside) : 1;
    if (run->options->nodes != nodes)
        return sgp_fail(SGP_ERR_INVALID, "nodes is %d: must be %d, the size of the group",
                        run->options->nodes, nodes);
    if (run->options->workers != workers)
        return sgp_fail(SGP_ERR_INVALID, "workers-per-node is %d: must be %d, as in the group",
                        run->options->workers, workers);
    return SGP_OK;
}

static sgp_status_t begin_files(run_t *run) {
    if (!run_writes(run)) return SGP_OK;
    const char *output = run->options->output;
    sgp_status_t status = file_remove(output, "summary.json"); /* of a run before this one */
    if (!status)
        status = files_json_write(output, "config.json",
                                  config_json(run->options, &run->replica, run->id));
    if (!status && run->step > 0)
        status =
            resume_metrics(run->options->resume, output, run->step / run->replica.steps_per_epoch);
    else if (!status) status = file_replace(output, METRICS_FILE, NULL, 0);
    if (!status && run->options->tensorboard)
        status = tensorboard_begin(&run->tensorboard, output, run->size, run->options->workers,
                                   run->step - run->step % run->replica.steps_per_epoch);
    return status;
}

/* A machine that does not see node 0's files needs this one to continue the run. When node 0 has written it;
 * several nodes there may come to this at once, and each puts the same in its place. */
static sgp_status_t copy_config(const run_t *run) {
    char name[32], from[PATH_MAX], to[PATH_MAX];
    const char *output = run->options->output;
    if (run->rank == 0 || !output) return SGP_OK;
    snprintf(name, sizeof name, "config-%d.json", run->rank);
    if (snprintf(from, sizeof from, "%s/%s", output, name) >= PATH_MAX ||
        snprintf(to, sizeof to, "%s/config.json", output) >= PATH_MAX || access(to, F_OK) == 0)
        return SGP_OK;
    sgp_status_t status =
        files_json_write(output, name, config_json(run->options, &run->replica, run->id));
    if (status || rename(from, to) == 0) return status;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be written: %s", to, strerror(errno));
}

static sgp_status_t begin_trace(run_t *run) {
    if (!run->options->trace) return SGP_OK;
    const char *directory = run_writes(run) ? run->options->output : NULL;
    sgp_status_t status = timeline_begin(&run->timeline, directory, TIMELINE_SPANS);
    run->timeline.workers = run->options->workers;
    sgp_mixer_trace(run->replica.mixer, run->timeline.trace);
    return status;
}

/* What a node can do alone. */
static sgp_status_t prepare_alone(run_t *run) {
    sgp_status_t status = check_ranges(run->options);
    if (!status) status = check_place(run);
    if (!status) status = replica_init(&run->replica, run->options, run->rank);
    if (status) return status;
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    status = times_init(&run->times, run->replica.schedule.steps);
    if (status) replica_fini(&run->replica);
    return status;
}

static void release(run_t *run) {
    times_fini(&run->times);
    replica_fini(&run->replica); /* the mixer, which records */
    timeline_fini(&run->timeline);
}

/* The step's own epoch, from 0. */
static uint64_t epoch_of(const run_t *run, uint64_t step) {
    return step > 0 ? (step - 1) / run->replica.steps_per_epoch : 0;
}

/* Makes the mixer, as it was in a checkpoint if the run goes on. */
static sgp_status_t join(run_t *run, uint64_t step) {
    const train_options_t *options = run->options;
    sgp_status_t status =
        replica_join(&run->replica, options, epoch_of(run, step), run->nodes, run->inside);
    if (!status && step > 0) status = checkpoint_read(run, options->resume, step);
    if (!status) status = begin_files(run);
    return status ? status : begin_trace(run);
}

/* Every node takes node 0's, which a resumed run has from its directory. */
static sgp_status_t share_id(run_t *run) {
    char(*all)[IDENTITY_TEXT] = malloc((size_t)run->size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", run->size);
    sgp_status_t status = sgp_group_gather(run->group, run->id, sizeof run->id, all);
    if (!status) memcpy(run->id, all[0], sizeof run->id);
    free(all);
    return status;
}

static sgp_status_t find_id(run_t *run) {
    sgp_status_t status = SGP_OK;
    if (run->rank == 0 && run->options->resume)
        status = identity_read(run->options->resume, run->id);
    status = agreement_share(run->group, status);
    return status ? status : share_id(run);
}

/* For a new run, and for one that is continued from an earlier version. */
static sgp_status_t draw_id(run_t *run) {
    if (*run->id) return SGP_OK;
    sgp_status_t status = run->rank == 0 ? identity_draw(run->id) : SGP_OK;
    status = agreement_share(run->group, status);
    return status ? status : share_id(run);
}

/* A node whose data are missing tells the others, and nobody starts before all can and want the
 * same. */
static sgp_status_t prepare(run_t *run) {
    agreement_t agreement;
    sgp_status_t own = prepare_alone(run);
    sgp_status_t status = agreement_share(run->group, own);
    if (own) return own;
    if (status) goto fini;
    config_agreement(run->options, &run->replica, &agreement);
    status = agreement_check(run->group, &agreement);
    uint64_t step = 0;
    if (!status) status = find_id(run);
    if (!status && run->options->resume) status = resume_choose(run, &step);
    if (!status) status = draw_id(run);
    if (!status) status = agreement_share(run->group, join(run, step));
    if (!status && step > 0) status = mass_check(run);
    if (!status) status = agreement_share(run->group, copy_config(run));
    if (!status) return SGP_OK;
fini:
    release(run);
    return status;
}

/* Counters over all nodes, and the mean wait. */
static sgp_status_t gather_messages(const run_t *run, train_summary_t *summary) {
    sgp_mixer_statistics_t mine;
    sgp_mixer_statistics(run->replica.mixer, &mine);
    sgp_mixer_statistics_t *all = malloc((size_t)run->size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes' counters", run->size);
    sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    for (int i = 0; i < run->size && !status; i++) {
        summary->messages.sent += all[i].sent;
        summary->messages.received += all[i].received;
        summary->messages.late += all[i].late;
        summary->messages.refused += all[i].refused;
        summary->messages.resent += all[i].resent;
        summary->messages.reabsorbed += all[i].reabsorbed;
        summary->wait_ms += (double)all[i].wait_ns * 1e-6 / (double)run->step / (double)run->size;
    }
    free(all);
    return status;
}

static sgp_status_t summarise(const run_t *run, train_summary_t *summary) {
    double samples = (double)run->replica.dataset->train.count * run->options->epochs;
    times_summary_t times;
    *summary = (train_summary_t){
        .parameters = run->replica.parameters,
        .steps = run->step,
        .seconds = run->all_seconds,
        .samples_per_second = samples / run->all_seconds,
        .train_loss = run->train_loss,
        .test_accuracy = run->test_accuracy,
        .average_model_accuracy = run->average_model_accuracy,
        .consensus = run->consensus,
    };
    memcpy(summary->run_id, run->id, sizeof run->id);
    hash_of(run->replica.average, run->replica.parameters * sizeof *run->replica.average,
            summary->parameters_hash);
    sgp_status_t status = times_gather(&run->times, run->group, &times);
    if (status) return status;
    summary->step_ms.mean = times.mean;
    summary->step_ms.p50 = times.p50;
    summary->step_ms.p99 = times.p99;
    return gather_messages(run, summary);
}

static sgp_status_t end_files(const run_t *run, const train_summary_t *summary) {
    if (!run_writes(run)) return SGP_OK;
    const replica_t *replica = &run->replica;
    sgp_status_t status = model_file_write(run->options->output, "model.safetensors",
                                           run->options->model, replica->model, replica->dataset,
                                           replica->average, run->id, summary->parameters_hash);
    if (status) return status;
    return files_json_write(run->options->output, "summary.json",
                            train_summary_json(run->options, summary));
}

/* What the schedules of algorithm and peers say about this epoch. */
static sgp_status_t enter_epoch(run_t *run, uint64_t epoch) {
    if (!train_mixer_changes(run->options, epoch)) return SGP_OK;
    sgp_mixer_options_t mixer = train_mixer_options(run->options, epoch);
    return sgp_mixer_switch(run->replica.mixer, &mixer);
}

/* From its beginning, or what a checkpoint has left of it. */
static sgp_status_t run_epoch(run_t *run, uint64_t epoch) {
    bool begins = run->step % run->replica.steps_per_epoch == 0;
    sgp_status_t status =
        run_halt(run); /* before the mixer changes: the checkpoint is the old one's */
    if (!status && begins) status = enter_epoch(run, epoch);
    if (!status) status = run_steps(run, epoch);
    if (!status) status = run_meet(run, epoch);
    if (!status && checkpoint_due_after_epoch(run)) status = checkpoint_write(run);
    return status;
}

static sgp_status_t run_all(run_t *run, train_summary_t *summary) {
    uint64_t first = run->step / run->replica.steps_per_epoch;
    uint64_t epochs = (uint64_t)run->options->epochs;
    sgp_status_t status = SGP_OK;
    if (first == epochs) /* killed between its last checkpoint and its end */
        status = sgp_mixer_average(run->replica.mixer, run->replica.average, NULL);
    for (uint64_t epoch = first; epoch < epochs && !status; epoch++) status = run_epoch(run, epoch);
    if (!status && run->timeline.trace) status = timeline_meet(&run->timeline, run->group);
    train_summary_t result;
    if (!status) status = summarise(run, &result);
    if (!status) status = agreement_share(run->group, end_files(run, &result));
    if (!status) *summary = result;
    return status;
}

/* The steps and what follows them, with a word to all and on disk where they end early. */
static sgp_status_t run_to_the_end(run_t *run, const train_groups_t *groups,
                                   train_summary_t *summary) {
    halt_init(&run->halt, groups, run->callbacks.stop);
    halt_next_step(&run->halt, run->step);
    checkpoint_restart_clock(run);
    sgp_status_t status = run_all(run, summary);
    if (status) {
        status = ending_share(run, status, summary);
        ending_write(run, summary);
    }
    halt_fini(&run->halt);
    return status;
}

/* This process's place, which holds for good options alone. */
static void find_place(run_t *run, const train_groups_t *groups) {
    run->group = groups->all;
    run->nodes = groups->nodes ? groups->nodes : groups->all;
    run->inside = groups->workers;
    run->rank = sgp_group_rank(run->group);
    run->size = sgp_group_size(run->group);
    run->node = sgp_group_rank(run->nodes);
    run->worker = run->inside ? sgp_group_rank(run->inside) : 0;
}

sgp_status_t train_run(const train_options_t *options, const train_groups_t *groups,
                       const train_callbacks_t *callbacks, train_summary_t *summary) {
    run_t *run = calloc(1, sizeof *run);
    if (!run) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a run");
    run->options = options;
    find_place(run, groups);
    if (callbacks) run->callbacks = *callbacks;
    run->test_accuracy = (train_spread_t){NAN, NAN, NAN};
    run->average_model_accuracy = run->train_loss = run->consensus.distance = NAN;
    *summary = (train_summary_t){.state = TRAIN_FAILED};
    sgp_status_t status = prepare(run);
    if (!status) {
        status = run_to_the_end(run, groups, summary);
        if (status && run->timeline.trace) timeline_rescue(&run->timeline);
        release(run);
    }
    free(run);
    return status;
}
