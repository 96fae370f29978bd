/* SPDX-License-Identifier: Apache-2.0 */
#include "run/steps.h"

#include "base/clock.h"
#include "group/group_internal.h"
#include "group/membership.h"
#include "mixing/kernels.h"
#include "mixing/mixer_internal.h"
#include "run/run_arrivals.h"
#include "run/checkpoint.h"
#include "run/clip.h"
#include "run/pacing.h"
#include "run/run_data.h"
#include "run/run_live.h"
#include "run/run_pause.h"
#include "run/run_progress.h"

#include <math.h>

static double seconds_per_step(const run_t *run) {
    return run->step > 0 ? run->seconds / (double)run->step : 0;
}

/* Takes the processes down that leave at this halt, before the next one can begin. */
static void note_leaving(run_t *run) {
    for (int rank = 0; rank < run->size && run->goes_on; rank++) {
        int number = halt_leaves(&run->halt, rank);
        if (!number) continue;
        run_losses_note_left(&run->losses, rank, run->step, number);
        if (rank == run->rank) run->leaves = number;
    }
}

/* What follows from a halt, once its checkpoint is written. number: halt_t.signal. */
static sgp_status_t end_halt(run_t *run, int number) {
    if (number == HALT_TOO_FEW) {
        run->too_few = true;
        return SGP_ERR_PEER_LOST;
    }
    run->signal = number;
    return number || run->leaves ? SGP_ERR_INTERRUPTED : SGP_OK;
}

/* Where the nodes have agreed on no halt, but on who divides the samples soon. false: they halt. */
static bool plan_division(run_t *run) {
    if (run->halt.saves) return false;
    if (run_data_plan(run, run->halt.step)) halt_over(&run->halt);
    return true;
}

sgp_status_t steps_halt(run_t *run) {
    bool here = false;
    sgp_status_t status = run_data_divide(run);
    if (!status) status = halt_before_step(&run->halt, run->step, seconds_per_step(run), &here);
    if (status || !here) return status;
    if (plan_division(run)) return SGP_OK;
    int number = run->halt.signal;
    bool saves = run->options->output && !run->halt.too_far && run->step > 0;
    note_leaving(run);
    halt_over(&run->halt);
    if (saves && run->saved != run->step) status = checkpoint_write(run);
    else checkpoint_restart_clock(run);
    return status ? status : end_halt(run, number);
}

static double ms_between(uint64_t start, uint64_t end) {
    return (double)(end - start) * 1e-6;
}

/* Every sample has the same weight in an epoch: the gradient of a short batch is scaled by its
 * share of a full one. So nodes that together take the samples of one large batch move the average
 * exactly as one node with that batch would. */
static void weigh_tail(const run_t *run, int valid) {
    if (valid == run->options->batch_size) return;
    float weight = (float)valid / (float)run->options->batch_size;
    float *gradient = run->replica.gradient;
    for (size_t i = 0; i < run->replica.parameters; i++) gradient[i] *= weight;
}

static void span(const run_t *run, sgp_trace_kind_t kind, uint64_t start, uint64_t end) {
    sgp_trace_span(run->trace.trace, SGP_TRACE_COMPUTING, kind, start, end);
}

/* Of a node that the others have struck off no number counts any more. */
static sgp_status_t refuse_loss(run_t *run) {
    sgp_status_t status = sgp_membership_check_self(sgp_group_membership(run->group));
    if (status) return status;
    run->cause = RUN_CAUSE_LOSS;
    return SGP_ERR_NOT_FINITE;
}

/* start: of the step. */
static sgp_status_t train_batch(run_t *run, uint64_t start, metrics_step_t *step) {
    replica_t *replica = &run->replica;
    feed_batch_t batch;
    model_result_t result;
    sgp_status_t status = feed_next(replica->feed, &batch);
    if (status) return status;
    uint64_t loaded = sgp_clock_now();
    run->bad.replaced += (uint64_t)batch.bad;
    status = model_train(replica->model, sgp_mixer_parameters(replica->mixer),
                         sgp_mixer_buffers(replica->mixer), batch.images, batch.labels, batch.count,
                         batch.valid, replica->gradient, &result);
    if (status) return status;
    if (run->options->clip_norm > 0)
        clip_gradient(replica->gradient, replica->parameters, run->options->clip_norm);
    weigh_tail(run, batch.valid);
    step->loss_sum = result.loss_sum;
    if (!isfinite(result.loss_sum) && !run->options->keep_going) return refuse_loss(run);
    span(run, SGP_TRACE_DATA, start, loaded);
    span(run, SGP_TRACE_FORWARD, loaded, result.backward_ns);
    span(run, SGP_TRACE_BACKWARD, result.backward_ns, sgp_clock_now());
    return SGP_OK;
}

static void delay(const run_t *run, double nanoseconds) {
    uint64_t start = sgp_clock_now();
    pacing_sleep_ns((uint64_t)nanoseconds, run->callbacks.stop);
    span(run, SGP_TRACE_DELAY, start, sgp_clock_now());
}

/* The gradient of a step, or the fixed time that replaces it; slower on --slow-node. */
static sgp_status_t compute_gradient(run_t *run, uint64_t s, metrics_step_t *step) {
    const train_options_t *options = run->options;
    uint64_t start = sgp_clock_now();
    step->samples = feed_samples(run->replica.feed, s);
    if (options->compute_ms > 0) {
        step->loss_sum = NAN;
        delay(run, options->compute_ms * 1e6);
    } else {
        sgp_status_t status = train_batch(run, start, step);
        if (status) return status;
    }
    if (options->slow_rank == run->node)
        delay(run, (options->slow_factor - 1) * (double)(sgp_clock_now() - start));
    step->gradient_ms = ms_between(start, sgp_clock_now());
    return SGP_OK;
}

/* The clock of checkpoints by time is that of the first node that is left. */
static sgp_status_t look_for_losses(run_t *run, double step_ms) {
    bool led = run_leads_now(run);
    run_losses_pause(&run->losses, step_ms * 1e-3 - seconds_per_step(run));
    sgp_status_t status = run_losses_check(&run->losses, run->step);
    run_losses_pause(&run->losses, 0);
    run_data_watch(run);
    if (run_losses_left(&run->losses) < run->options->min_nodes * run->options->workers)
        halt_too_few(&run->halt);
    if (!status && !led && run_leads_now(run)) checkpoint_restart_clock(run);
    return status;
}

static void record(run_t *run, uint64_t start, metrics_step_t *step) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(run->replica.mixer, &statistics);
    uint64_t now = sgp_clock_now();
    run->step++;
    run->seconds = run->seconds_before + (double)(now - run->epoch_ns) * 1e-9;
    step->step_ms = ms_between(start, now);
    step->wait_ms = (double)statistics.last_wait_ns * 1e-6;
    step->weight = statistics.weight;
    step->seconds = run->seconds;
    times_add(&run->times, step->step_ms);
    limits_gradient(&run->limits, step->gradient_ms * 1e-3);
    metrics_add(&run->metrics, step, sgp_mixer_parameters(run->replica.mixer), run->step);
    run_live_add(run, step);
    run->epoch_sums.loss += step->loss_sum;
    run->epoch_sums.samples += step->samples;
    run->shown_sums.loss += step->loss_sum;
    run->shown_sums.samples += step->samples;
}

/* This node was silent, and has passed over steps. Perhaps the others have divided the samples anew in them: then the epoch has more steps
 * than this node knows of. Its promise is among those that they have agreed on, so it can learn that. */
static sgp_status_t catch_up(run_t *run, uint64_t passed) {
    bool here = false;
    sgp_status_t status = run_data_pass_over(run, passed);
    if (!status) status = halt_before_step(&run->halt, run->step, seconds_per_step(run), &here);
    if (!status && here) plan_division(run);
    return status ? status : run_data_divide(run);
}

/* s: the number of the step in its epoch, from 0. */
static sgp_status_t run_step(run_t *run, uint64_t s) {
    replica_t *replica = &run->replica;
    uint64_t before = sgp_mixer_steps(replica->mixer);
    metrics_step_t step = {.lr = replica_rate(replica, run->step)};
    uint64_t start = sgp_clock_now();
    sgp_trace_step(run->trace.trace, SGP_TRACE_COMPUTING, run->step + 1);
    sgp_status_t status = compute_gradient(run, s, &step);
    if (status) return status;
    status = sgp_mixer_step(replica->mixer, replica->optimizer, replica->gradient, (float)step.lr);
    if (status == SGP_ERR_NOT_FINITE)
        run->cause = sgp_is_finite(replica->parameters, replica->gradient) ? RUN_CAUSE_PARAMETERS
                                                                           : RUN_CAUSE_GRADIENT;
    /* The signal may have ended the other node already, which is then no error. */
    if (status == SGP_ERR_PEER_LOST && run_stopped(run)) return SGP_ERR_INTERRUPTED;
    if (status) return status;
    record(run, start, &step);
    run_pause_after_step(run);
    uint64_t passed = sgp_mixer_steps(replica->mixer) - before - 1;
    if (passed > 0) status = catch_up(run, passed);
    return run->goes_on && !status ? look_for_losses(run, step.step_ms) : status;
}

/* The checkpoint of a resumed run holds some of its steps already. */
static sgp_status_t begin_epoch(run_t *run, uint64_t epoch) {
    uint64_t done = run->step - epochs_start(&run->replica.epochs, epoch);
    if (run->entering) {
        run->entering = false;
        run->epoch_ns = sgp_clock_now() - (uint64_t)((run->seconds - run->seconds_before) * 1e9);
        return checkpoint_due(run) ? checkpoint_write(run) : SGP_OK;
    }
    if (done == 0) {
        run->epoch_sums = (run_sums_t){0};
        run->seconds_before = run->seconds;
        run->bad_before = run->bad;
        metrics_begin(&run->metrics, epochs_length(&run->replica.epochs, epoch));
    }
    run->epoch_ns = sgp_clock_now() - (uint64_t)((run->seconds - run->seconds_before) * 1e9);
    return run_data_begin(run, epoch, done);
}

/* Those that the feed knows of now. */
static sgp_status_t make_steps(run_t *run, uint64_t epoch) {
    sgp_status_t status = SGP_OK;
    while (!status && run_data_step(run) < feed_steps(run->replica.feed)) {
        status = steps_halt(run);
        if (!status) status = run_step(run, run_data_step(run));
        if (!status) status = arrivals_meet(run);
        if (!status && checkpoint_due(run)) status = checkpoint_write(run);
        if (!status) run_live_after_step(run, epoch);
        if (!status) run_progress_after_step(run, epoch);
    }
    if (!status) halt_next_step(&run->halt, run->step);
    return status;
}

sgp_status_t steps_run(run_t *run, uint64_t epoch) {
    sgp_status_t status = begin_epoch(run, epoch);
    for (bool more = true; more && !status;) {
        status = make_steps(run, epoch);
        if (!status) status = run_data_end(run, &more);
    }
    if (status) return status;
    metrics_end(&run->metrics, sgp_mixer_parameters(run->replica.mixer));
    run_live_after_steps(run, epoch);
    return SGP_OK;
}
