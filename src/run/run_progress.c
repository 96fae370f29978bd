/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_progress.h"

#include "base/clock.h"

#include <math.h>
#include <sgp/group.h>

#define EVERY_NS 250000000u

/* left: epochs whose end is still to come. */
static double seconds_left(const run_t *run, uint64_t left) {
    uint64_t steps = epochs_total(&run->replica.epochs);
    double per_step = run->seconds / (double)run->step;
    return (double)(steps - run->step) * per_step + (double)left * run->epoch_end_seconds;
}

/* For those who look at the run (sgp_group_report). Where nobody does: a few stores. */
static void report_status(run_t *run, uint64_t epoch, bool epoch_end) {
    uint64_t left = (uint64_t)run->options->epochs - epoch - epoch_end;
    double seconds = run->step > 0 ? seconds_left(run, left) : NAN;
    run->reported_samples += run->shown_sums.samples;
    sgp_group_report(run->group, "loss",
                     epoch_end ? run->train_loss : run->shown_sums.loss / run->shown_sums.samples);
    sgp_group_report(run->group, "accuracy", run->test_accuracy.mean);
    sgp_group_report(run->group, "samples", run->reported_samples);
    sgp_group_report(run->group, "epoch", (double)(epoch + 1));
    sgp_group_report(run->group, "epochs", run->options->epochs);
    sgp_group_report(run->group, "seconds_left", seconds < 0 ? 0 : seconds);
}

static void report(run_t *run, uint64_t epoch, bool epoch_end) {
    run->shown_ns = sgp_clock_now();
    report_status(run, epoch, epoch_end);
    if (run->callbacks.progress) {
        double samples = (double)feed_shape(run->replica.feed)->train_count;
        double epochs = replica_epochs_done(&run->replica, run->step);
        uint64_t left = (uint64_t)run->options->epochs - epoch - epoch_end;
        train_progress_t progress = {
            .rank = run->rank,
            .leads = epoch_end ? run_leads(run) : run_leads_now(run),
            .epoch = (int)epoch + 1,
            .epochs = run->options->epochs,
            .step = run->step,
            .steps = epochs_total(&run->replica.epochs),
            .loss = epoch_end ? run->train_loss : run->shown_sums.loss / run->shown_sums.samples,
            .test_accuracy = run->test_accuracy.mean,
            .samples_per_second = samples * epochs / run->seconds,
            .consensus_distance = run->consensus.distance,
            .seconds_left = seconds_left(run, left),
            .epoch_end = epoch_end,
        };
        run->callbacks.progress(&progress, run->callbacks.user);
    }
    run->shown_sums = (run_sums_t){0};
}

void run_progress_after_step(run_t *run, uint64_t epoch) {
    if (sgp_clock_now() - run->shown_ns >= EVERY_NS) report(run, epoch, false);
}

void run_progress_after_epoch(run_t *run, uint64_t epoch) {
    report(run, epoch, true);
}
