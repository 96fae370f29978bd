/* SPDX-License-Identifier: Apache-2.0 */
#include "run/train.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/flight_watch.h"
#include "group/group_internal.h"
#include "run/agreement.h"
#include "run/run_arrivals.h"
#include "run/check.h"
#include "run/checkpoint.h"
#include "run/config.h"
#include "run/ending.h"
#include "run/epoch_end.h"
#include "run/initial.h"
#include "run/invitation.h"
#include "run/mass.h"
#include "run/mixing_plan.h"
#include "run/presence.h"
#include "run/private_data.h"
#include "run/resize.h"
#include "run/resume.h"
#include "run/run_data.h"
#include "run/run_live.h"
#include "run/run_output.h"
#include "run/run_pause.h"
#include "run/run_result.h"
#include "run/steps.h"
#include "run/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- before the first step ---- */

static sgp_status_t check_place(const run_t *run) {
    int nodes = sgp_group_size(run->nodes),
        workers = run->workers ? sgp_group_size(run->workers) : 1;
    if (run->options->nodes != nodes)
        return sgp_fail(SGP_ERR_INVALID, "nodes is %d: must be %d, the size of the group",
                        run->options->nodes, nodes);
    if (run->options->workers != workers)
        return sgp_fail(SGP_ERR_INVALID, "workers-per-node is %d: must be %d, as in the group",
                        run->options->workers, workers);
    return SGP_OK;
}

static void release(run_t *run) {
    times_fini(&run->times);
    replica_fini(&run->replica); /* before the trace, to which the mixer records */
    run_trace_fini(&run->trace);
    arrivals_fini(run); /* before the group answers anybody else */
    run_losses_fini(&run->losses);
    run_joins_fini(&run->joins);
    run_data_fini(run);
    halt_fini(&run->halt);
}

/* The part of the preparation that needs no other node. */
static sgp_status_t prepare_alone(run_t *run) {
    sgp_status_t status = check_ranges(run->options);
    if (!status) status = check_place(run);
    if (!status) status = replica_init(&run->replica, run->options, run->rank);
    if (status) return status;
    status = check_split(run->options, feed_shape(run->replica.feed));
    if (!status && !run->options->resume) status = initial_load(run->options, &run->replica);
    if (status) {
        replica_fini(&run->replica);
        return status;
    }
    run_data_init(run);
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    if (run->goes_on) status = run_losses_init(&run->losses, run->group, &run->callbacks);
    if (status) release(run);
    return status;
}

/* The epoch, from 0, that step number `step` belongs to. */
static uint64_t epoch_of(const run_t *run, uint64_t step) {
    uint64_t next = epochs_finished(&run->replica.epochs, step);
    bool ended = step == epochs_start(&run->replica.epochs, next);
    return next - (ended && next > 0);
}

static sgp_status_t restore(run_t *run, uint64_t step) {
    const char *directory = run->options->resume;
    if (!resize_happens(run)) return checkpoint_read(run, directory, step);
    sgp_status_t status = resize_read(run, directory, step);
    if (!status) run->saved = step;
    return status;
}

/* Creates the mixer, in the state of the checkpoint of `step` (0: none), and begins the files. */
static sgp_status_t join(run_t *run, uint64_t step) {
    const train_options_t *options = run->options;
    if (step > 0) resize_place(run, step);
    sgp_status_t status = times_init(&run->times, epochs_total(&run->replica.epochs));
    /* Of a resumed run that begins again: nothing is read that a checkpoint replaces. */
    if (!status && options->resume && step == 0) status = initial_load(options, &run->replica);
    if (!status)
        status =
            replica_join(&run->replica, options, epoch_of(run, step), run->nodes, run->workers);
    if (!status) run_losses_watch(&run->losses, run->replica.mixer, step);
    if (!status && step > 0) status = restore(run, step);
    if (!status && step > 0) status = run_data_restored(run);
    run->written = run->replica.epochs.start + run->replica.epochs.first;
    return status ? status : run_output_begin(run);
}

static sgp_status_t begin_halts(run_t *run) {
    train_groups_t groups = {.all = run->group, .nodes = run->nodes, .workers = run->workers};
    halt_leaving_t leaving = {.leave = run->callbacks.leave,
                              .seconds = run->options->grace,
                              .gather = HALT_GATHER_SECONDS,
                              .workers = run->options->workers,
                              .least = run->options->min_nodes};
    sgp_status_t status = run->entering
                              ? halt_init_among(&run->halt, &groups, run->callbacks.stop, run->step,
                                                run->arrivals.halts, run->losses.members)
                              : halt_init(&run->halt, &groups, run->callbacks.stop, run->step);
    if (!status && run->goes_on) halt_set_leaving(&run->halt, &leaving);
    if (!status) run_pause_init(run);
    return status;
}

/* A run begins with all its nodes, or not at all: one that ends before the first step may have found a mistake. */
static sgp_status_t all_there(const run_t *run) {
    if (presence_count(run->group) == run->founders) return SGP_OK;
    int first = 0;
    sgp_rank_name_t name;
    while (presence_has(run->group, first)) first++;
    return sgp_fail(SGP_ERR_PEER_LOST, "%s is lost, before the first step",
                    sgp_transport_name(sgp_group_transport(run->group), first, &name));
}

static void report_division(const run_t *run) {
    const division_t *division = feed_division(run->replica.feed);
    if (division && run->callbacks.divided && run_leads(run))
        run->callbacks.divided(&run->options->split, division, run->callbacks.user);
}

/* Prepares the run on all nodes or on none: a node whose preparation fails tells the others. */
static sgp_status_t prepare(run_t *run) {
    agreement_t agreement;
    uint64_t step = 0;
    sgp_status_t own = prepare_alone(run);
    sgp_status_t status = agreement_share(run->group, own);
    if (own) return own;
    if (status) goto fini;
    config_agreement(run->options, &run->replica, &agreement);
    status = agreement_check(run->group, &agreement);
    if (!status) status = private_data_meet(run);
    if (!status) status = run_id_find(run->group, run->options->resume, run->id);
    if (!status && run->options->resume) status = resume_choose(run, &step);
    if (!status) status = run_id_complete(run->group, run->id);
    if (!status) status = all_there(run); /* before any file is written */
    if (!status) status = agreement_share(run->group, join(run, step));
    if (!status && step > 0) status = mass_check(run);
    if (!status) status = agreement_share(run->group, run_output_copy_config(run));
    if (!status) status = agreement_share(run->group, begin_halts(run));
    if (!status) status = all_there(run);
    if (!status) status = agreement_share(run->group, arrivals_init(run));
    if (!status) resize_report(run);
    if (!status) report_division(run);
    if (!status) return SGP_OK;
fini:
    release(run);
    return status;
}

/* ---- the epochs ---- */

/* Switches the mixer if a schedule of algorithm or peers begins a stage with this epoch. */
static sgp_status_t enter_epoch(run_t *run, uint64_t epoch) {
    if (!train_mixer_changes(run->options, epoch)) return SGP_OK;
    sgp_mixer_options_t mixer = train_mixer_options(run->options, epoch);
    return sgp_mixer_switch(run->replica.mixer, &mixer);
}

/* An epoch, or the steps of it that the checkpoint of a resumed run does not hold. A halt comes
 * before the switch, so that its checkpoint is in the old mixer's format. */
static sgp_status_t run_epoch(run_t *run, uint64_t epoch) {
    bool begins = !run->entering && run->step == epochs_start(&run->replica.epochs, epoch);
    sgp_status_t status = run->entering ? SGP_OK : steps_halt(run);
    if (!status && begins) status = enter_epoch(run, epoch);
    if (!status) status = steps_run(run, epoch);
    if (!status) status = epoch_end_run(run, epoch);
    if (!status && checkpoint_due_after_epoch(run)) status = checkpoint_write(run);
    return status;
}

/* The first node writes the last files; if it is lost before all know that it has, the next one does. */
static sgp_status_t finish(run_t *run, train_summary_t *summary) {
    train_summary_t result = {.loss_count = 0};
    sgp_status_t status;
    int writer;
    do {
        train_summary_release(&result);
        writer = presence_first(run->group);
        status = run_result_finished(run, &result);
        if (!status) status = agreement_share(run->group, run_output_finish(run, &result));
    } while (!status && !presence_has(run->group, writer));
    if (!status) *summary = result;
    else train_summary_release(&result);
    summary->leads = run_leads(run);
    return status;
}

static sgp_status_t run_all(run_t *run, train_summary_t *summary) {
    uint64_t first =
        run->entering ? run->data.epoch : epochs_finished(&run->replica.epochs, run->step);
    uint64_t epochs = (uint64_t)run->options->epochs;
    sgp_status_t status = SGP_OK;
    if (first == epochs) /* killed between its last checkpoint and its end */
        status = sgp_mixer_average(run->replica.mixer, run->replica.average,
                                   resize_happens(run) ? &run->consensus : NULL);
    for (uint64_t epoch = first; epoch < epochs && !status; epoch++) status = run_epoch(run, epoch);
    if (!status) status = run_output_trace(run);
    if (!status) run_live_stop(run, epochs, SGP_OK);
    return status ? status : finish(run, summary);
}

/* The others go on without this node, which was silent for too long: the run's files are theirs. */
static bool is_left_behind(const run_t *run, sgp_status_t status) {
    return run->goes_on && status == SGP_ERR_PEER_LOST && !run->too_few;
}

/* The others may have been too late for this node to leave after a halt. Then, and after one, it waits no longer than it may
 * until they have what it has sent. */
static void prepare_to_leave(run_t *run, const train_groups_t *groups, sgp_status_t status) {
    sgp_group_t *const all[] = {groups->all, groups->nodes, groups->workers};
    if (status == SGP_ERR_INTERRUPTED && halt_left_alone(&run->halt))
        run->leaves = *run->callbacks.leave;
    if (!run->leaves || status != SGP_ERR_INTERRUPTED) return;
    uint64_t each = halt_time_left(&run->halt) / 2;
    if (each < SGP_SECOND / 2) each = SGP_SECOND / 2; /* or it would look lost */
    for (int i = 0; i < 3; i++)
        if (all[i]) sgp_group_set_timeout(all[i], each);
}

/* The epochs; if they end early, all nodes learn the reason and the first one writes it down. */
static sgp_status_t run_to_the_end(run_t *run, const train_groups_t *groups,
                                   train_summary_t *summary) {
    if (!run->entering) run->mixed_nodes = run->founders / run->options->workers;
    run->limits = (limits_t){.mixer = run->replica.mixer,
                             .groups = *groups,
                             .halt = &run->halt,
                             .told = run->callbacks.patience,
                             .pause = run->goes_on ? run->options->pause_limit : 0};
    limits_begin(&run->limits);
    checkpoint_restart_clock(run);
    run_live_start(run);
    sgp_status_t status = run_all(run, summary);
    if (status) {
        sgp_group_failed(run->group, status); /* before calls that are about the end alone */
        run_live_stop(run, epochs_finished(&run->replica.epochs, run->step), status);
        run_pause_over(run);
        prepare_to_leave(run, groups, status);
        status = ending_share(run, status, summary);
        summary->leads = run_leads_now(run) && !is_left_behind(run, status) && !summary->left;
        if (summary->leads) run_output_end_early(run, summary);
    }
    return status;
}

/* The sizes are compared with the options in check_place. */
static void find_place(run_t *run, const train_groups_t *groups) {
    run->group = groups->all;
    run->nodes = groups->nodes ? groups->nodes : groups->all;
    run->workers = groups->workers;
    run->goes_on = sgp_group_transport(run->group)->elastic;
    run->rank = sgp_group_rank(run->group);
    run->size = sgp_group_capacity(run->group);
    run->founders = sgp_group_size(run->group);
    run->node = sgp_group_rank(run->nodes);
    run->worker = run->workers ? sgp_group_rank(run->workers) : 0;
}

/* ---- a newcomer ---- */

/* The part that needs no other node: what differs from the run is told the sponsor. */
static sgp_status_t prepare_newcomer(run_t *run, const invitation_t *invitation) {
    char why[200];
    sgp_status_t status = check_ranges(run->options);
    if (!status) status = replica_init(&run->replica, run->options, 0);
    if (status) return status;
    memcpy(run->id, invitation->run_id, sizeof run->id);
    run_data_init(run);
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    if (!invitation_check(invitation, run->options, &run->replica, why, sizeof why)) {
        sgp_group_decline(run->group, why);
        status = SGP_ERR_MISMATCH;
    }
    if (!status) status = run_losses_init(&run->losses, run->group, &run->callbacks);
    if (!status) status = times_init(&run->times, epochs_total(&run->replica.epochs));
    return status;
}

/* Up to the meeting with the others, after which this node is one like any other. */
static sgp_status_t enter(run_t *run, const invitation_t *invitation) {
    uint64_t epoch = 0;
    sgp_status_t status = prepare_newcomer(run, invitation);
    if (!status) status = arrivals_fetch(run, &epoch);
    if (!status) status = replica_join(&run->replica, run->options, epoch, run->nodes, NULL);
    if (!status) run_losses_watch(&run->losses, run->replica.mixer, 0);
    if (!status) status = arrivals_enter(run);
    run->entering = true;
    if (!status) status = begin_halts(run);
    if (!status) status = arrivals_init(run);
    if (!status) status = run_output_join(run);
    if (status) release(run);
    return status;
}

/* invitation: NULL: the run begins. */
static sgp_status_t run_whole(const train_options_t *options, const invitation_t *invitation,
                              const train_groups_t *groups, const train_callbacks_t *callbacks,
                              train_summary_t *summary) {
    run_t *run = calloc(1, sizeof *run);
    if (!run) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a run");
    run->options = options;
    find_place(run, groups);
    if (callbacks) run->callbacks = *callbacks;
    run->test_accuracy = (train_spread_t){NAN, NAN, NAN};
    run->test_accuracy5 = run->test_accuracy;
    run->average_model_accuracy5 = NAN;
    run->average_model_accuracy = run->train_loss = run->consensus.distance = NAN;
    *summary = (train_summary_t){.state = TRAIN_FAILED};
    if (options->output) sgp_flight_watch_into(options->output, false); /* on SIGQUIT alone */
    sgp_status_t status = invitation ? enter(run, invitation) : prepare(run);
    if (!status) {
        sgp_flight_watch_name(run->id);
        if (options->output) sgp_flight_watch_into(options->output, true);
        status = run_to_the_end(run, groups, summary);
        if (status && run->trace.trace) run_trace_write_own(&run->trace);
        release(run);
    } else {
        summary->unstarted = run->goes_on && status != SGP_ERR_PEER_LOST;
    }
    free(run);
    return status;
}

sgp_status_t train_run(const train_options_t *options, const train_groups_t *groups,
                       const train_callbacks_t *callbacks, train_summary_t *summary) {
    return run_whole(options, NULL, groups, callbacks, summary);
}

sgp_status_t train_join(const train_options_t *options, const invitation_t *invitation,
                        const train_groups_t *groups, const train_callbacks_t *callbacks,
                        train_summary_t *summary) {
    return run_whole(options, invitation, groups, callbacks, summary);
}
