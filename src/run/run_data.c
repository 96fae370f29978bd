/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_data.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "mixing/algorithm_table.h"
#include "run/agreement.h"
#include "run/mixing_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR "sgp.run.data" /* the segments in a checkpoint */

enum { EVENTS = 16 }; /* told at once */

void run_data_init(run_t *run) {
    uint64_t nodes = (uint64_t)run->options->nodes;
    run->data =
        (run_data_t){.rate_nodes = nodes, .seat = (uint64_t)run->node, .split_nodes = nodes};
}

void run_data_fini(run_t *run) {
    free(run->data.saved);
    run->data.saved = NULL;
}

/* ---- the place in the epoch ---- */

/* The step of the run in steps of the present epoch. */
static uint64_t in_epoch(const run_t *run, uint64_t step) {
    return step > run->data.start ? step - run->data.start : 0;
}

uint64_t run_data_step(const run_t *run) {
    return in_epoch(run, run->step);
}

bool run_data_is_divided(const run_t *run) {
    const epochs_t *epochs = &run->replica.epochs;
    if (train_keeps_parts(run->options)) return false;
    return run->data.divided && run->step != epochs_start_at(epochs, run->step);
}

/* ---- losses and newcomers ---- */

/* The number of the node of that process, the latest of its place. */
static uint64_t member_of(const run_t *run, int rank) {
    uint32_t uses = run->losses.uses[rank];
    return segments_number((uint32_t)(rank / run->options->workers), uses > 0 ? uses - 1 : 0);
}

/* The events that the feed does not know yet, EVENTS at most. This is the only place where they come from. The plan changes now:
 * it is the step after which the nodes have agreed on the losses. */
static size_t next_events(run_t *run, segments_event_t *events) {
    run_data_t *data = &run->data;
    size_t count = 0;
    for (; data->told < run->losses.count && count < EVENTS; data->told++) {
        const train_loss_t *loss = &run->losses.agreed[data->told];
        data->apart -=
            run->losses.apart[loss->node]; /* its first event has the earlier end, which stays */
        run->losses.apart[loss->node] = false;
        events[count++] = (segments_event_t){.kind = SEGMENTS_LEAVES,
                                             .member = member_of(run, loss->node),
                                             .first = in_epoch(run, loss->next),
                                             .end = run_data_step(run)};
    }
    return count;
}

static sgp_status_t tell(run_t *run) {
    segments_event_t events[EVENTS];
    sgp_status_t status = SGP_OK;
    for (size_t count; !status && (count = next_events(run, events)) > 0;) {
        run->data.divided = true;
        status = feed_tell(run->replica.feed, events, count, run_data_step(run));
    }
    return status;
}

/* The nodes that divide the samples. */
static int nodes_of(const run_t *run) {
    const run_data_t *data = &run->data;
    return (run->founders + data->arrived - data->told - data->apart) / run->options->workers;
}

static void set_rate(run_t *run) {
    const train_options_t *options = run->options;
    int nodes = options->fixed_rate ? (int)run->data.rate_nodes : nodes_of(run);
    run->replica.schedule = schedule_make(options, nodes, run->replica.steps_per_epoch);
}

/* From `step` of the epoch on. Where each node reads a part of its own, the epochs stay as they are. */
static sgp_status_t take_place_at(run_t *run, uint64_t step) {
    const train_options_t *options = run->options;
    replica_t *replica = &run->replica;
    if (!train_keeps_parts(options)) {
        uint64_t position = feed_reached(replica->feed, step);
        uint64_t of_node = (uint64_t)options->workers * (uint64_t)options->batch_size;
        replica->epochs = epochs_divide(&replica->epochs, run->data.epoch, run->data.start, step,
                                        position, (uint64_t)nodes_of(run) * of_node);
        replica->steps_per_epoch = replica->epochs.steps;
    }
    set_rate(run);
    return times_reserve(&run->times, epochs_total(&replica->epochs));
}

static sgp_status_t take_place(run_t *run) {
    return take_place_at(run, run_data_step(run));
}

sgp_status_t run_data_follow(run_t *run) {
    if (run->data.told == run->losses.count) return SGP_OK;
    sgp_status_t status = tell(run);
    return status ? status : take_place(run);
}

/* ---- losses that are not agreed on yet ---- */

/* Whether a node that this one has noted as lost has a part in the division. */
static bool has_lost_parts(const run_t *run) {
    const run_losses_t *losses = &run->losses;
    for (int r = 0; r < run->size; r++)
        if (losses->members[r] && losses->noted[r].step && !losses->apart[r]) return true;
    return false;
}

/* A silent node would keep all others waiting until it is heard or lost. */
static bool hears_all(const run_t *run) {
    sgp_fates_t *fates = sgp_group_transport(run->group)->fates;
    for (int r = 0; r < run->size; r++)
        if (run->losses.members[r] && sgp_fates_of(fates, r).state == SGP_FATE_PRESENT &&
            sgp_fates_silence(fates, r))
            return false;
    return true;
}

/* Where nodes do not wait for each other they may be any number of steps apart. */
static bool can_divide(const run_t *run) {
    sgp_mixer_options_t mixer = train_mixer_options(run->options, run->data.epoch);
    return !train_keeps_parts(run->options) && mixer.overlap != SGP_OVERLAP_ASYNC &&
           !sgp_algorithm_info(mixer.algorithm)->unpaced;
}

/* Steps that one node can be ahead of another one: a graph of n nodes has no longer way, and each edge keeps nodes within a round,
 * and the overlap. The same on all nodes, in whatever epoch they are: of a schedule the stage with an overlap counts. */
static uint64_t most_apart(const run_t *run) {
    const train_options_t *options = run->options;
    uint64_t overlap = options->overlap > 0 ? (uint64_t)options->overlap : 1;
    uint64_t edges = run->size > HALT_STEPS_AHEAD ? (uint64_t)run->size : HALT_STEPS_AHEAD;
    return edges * (uint64_t)options->local_steps * (1 + overlap);
}

void run_data_watch(run_t *run) {
    run_data_t *data = &run->data;
    if (run->losses.noticed == data->noticed && !data->wants) return;
    data->noticed = run->losses.noticed;
    data->wants = can_divide(run) && has_lost_parts(run);
    halt_divide(&run->halt, data->wants && data->divisions == 0 && hears_all(run));
}

bool run_data_plan(run_t *run, uint64_t step) {
    run_data_t *data = &run->data;
    if (data->divisions == RUN_DIVISIONS) return false;
    bool *there = run->losses.there + (size_t)data->divisions * (size_t)run->size;
    for (int r = 0; r < run->size; r++) there[r] = halt_counts(&run->halt, r);
    data->divided_from[data->divisions++] = step + most_apart(run);
    halt_divide(&run->halt, false);
    return true;
}

/* A newcomer does not know of them: they are agreed on again. */
static void drop_plans(run_t *run) {
    run->data.divisions = 0;
    run->data.wants = true;
}

/* Tells the feed that a node has no part from step `end` of the epoch on. What it has taken before is agreed on with its loss. */
static sgp_status_t part_with(run_t *run, int rank, uint64_t end) {
    segments_event_t event = {.kind = SEGMENTS_LEAVES,
                              .member = member_of(run, rank),
                              .first = in_epoch(run, run->losses.met),
                              .end = end};
    run->data.divided = true;
    return feed_tell(run->replica.feed, &event, 1, run_data_step(run));
}

/* there: (places) */
static sgp_status_t divide_at(run_t *run, uint64_t step, const bool *there) {
    run_losses_t *losses = &run->losses;
    uint64_t end = in_epoch(run, step);
    int before = run->data.apart;
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < run->size && !status; r++) {
        if (!losses->members[r] || losses->apart[r] || there[r]) continue;
        losses->apart[r] = true;
        run->data.apart++;
        status = part_with(run, r, end);
    }
    return status || run->data.apart == before ? status : take_place_at(run, end);
}

sgp_status_t run_data_divide(run_t *run) {
    run_data_t *data = &run->data;
    sgp_status_t status = SGP_OK;
    while (!status && data->divisions > 0 && run->step >= data->divided_from[0]) {
        status = divide_at(run, data->divided_from[0], run->losses.there);
        data->divisions--;
        data->divided_from[0] = data->divided_from[RUN_DIVISIONS - 1];
        memcpy(run->losses.there, run->losses.there + run->size, (size_t)run->size);
    }
    return status;
}

/* The feed has forgotten them: its epoch has begun anew. */
static sgp_status_t part_again(run_t *run) {
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < run->size && run->data.apart > 0 && !status; r++)
        if (run->losses.apart[r]) status = part_with(run, r, run_data_step(run));
    return status || run->data.apart == 0 ? status : take_place(run);
}

sgp_status_t run_data_admit(run_t *run, const int *ranks, int count) {
    sgp_status_t status = SGP_OK;
    run->data.divided = true;
    drop_plans(run);
    for (int i = 0; i < count && !status; i++) {
        segments_event_t event = {.kind = SEGMENTS_JOINS,
                                  .member = member_of(run, ranks[i]),
                                  .first = run_data_step(run),
                                  .candidate = (uint64_t)ranks[i] + 1};
        status = feed_tell(run->replica.feed, &event, 1, run_data_step(run));
    }
    run->data.arrived += count;
    return status ? status : take_place(run);
}

sgp_status_t run_data_arrive(run_t *run) {
    run_data_t *data = &run->data;
    feed_t *feed = run->replica.feed;
    data->seat = (uint64_t)run->node;
    sgp_status_t status = times_reserve(&run->times, epochs_total(&run->replica.epochs));
    if (!status) status = feed_set_share(feed, run->node, (int)data->split_nodes);
    if (!status) status = feed_begin_epoch(feed, data->epoch, run_data_step(run));
    if (!status) status = feed_restore(feed, data->saved, data->saved_bytes);
    if (!status) status = feed_set_self(feed, member_of(run, run->rank));
    run_data_fini(run);
    if (status) return status;
    data->divided = true;
    feed_set_seat(feed, run->node);
    while (run->times.count < run->step) times_add(&run->times, 0);
    set_rate(run);
    return SGP_OK;
}

sgp_status_t run_data_pass_over(run_t *run, uint64_t count) {
    uint64_t first = run_data_step(run);
    metrics_step_t nothing = {.lr = replica_rate(&run->replica, run->step),
                              .seconds = run->seconds};
    /* Perhaps more steps than this node knows the run to have: the others have divided the samples anew. */
    sgp_status_t status = times_reserve(&run->times, run->step + count);
    if (status) return status;
    run->data.divided = true;
    for (uint64_t i = 0; i < count; i++) {
        run->step++;
        times_add(&run->times, 0);
        metrics_add(&run->metrics, &nothing, sgp_mixer_parameters(run->replica.mixer), run->step);
    }
    return feed_pass_over(run->replica.feed, first, first + count);
}

/* ---- an epoch begins ---- */

static sgp_status_t begin_saved(run_t *run, uint64_t epoch, uint64_t done) {
    const run_data_t *data = &run->data;
    feed_t *feed = run->replica.feed;
    sgp_status_t status = feed_begin_epoch(feed, epoch, done);
    if (!status) status = feed_restore(feed, data->saved, data->saved_bytes);
    if (!status) status = feed_set_members(feed, done, run->rank, run->founders);
    return status;
}

/* Other nodes may have begun the epoch. */
static sgp_status_t begin_plain(const run_t *run, uint64_t epoch, uint64_t done) {
    const epochs_t *epochs = &run->replica.epochs;
    if (epoch != epochs->epoch || epochs->first == 0)
        return feed_begin_epoch(run->replica.feed, epoch, done);
    return feed_continue_epoch(run->replica.feed, epoch, epochs->first, epochs->position, done);
}

sgp_status_t run_data_begin(run_t *run, uint64_t epoch, uint64_t done) {
    run_data_t *data = &run->data;
    bool saved = data->saved && done > 0;
    data->epoch = epoch;
    data->start = run->step - done;
    data->divided = saved;
    data->making_up = false;
    sgp_status_t status = saved ? begin_saved(run, epoch, done) : begin_plain(run, epoch, done);
    if (!status && done > 0) status = part_again(run);
    if (status || done == 0 || data->told == 0) return status;
    data->told = 0; /* losses since the run was resumed, which the feed has forgotten */
    return run_data_follow(run);
}

/* ---- agreeing on the returned samples ---- */

/* Of all nodes. */
typedef struct reports {
    unsigned char *bytes;      /* (size, room) */
    sampler_report_t *entries; /* (size), of which `count`: of the nodes that are there */
    size_t count;
} reports_t;

static void release(reports_t *reports) {
    free(reports->bytes);
    free(reports->entries);
    *reports = (reports_t){0};
}

/* All nodes agree on the losses. *divided: a node has something to report. */
static sgp_status_t agree_on_losses(run_t *run, bool *divided) {
    uint64_t mine = run->data.divided, all[run->size];
    sgp_status_t status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    if (!status) status = run_losses_agree(&run->losses, run->step);
    if (!status) status = run_data_follow(run);
    if (status) return status;
    for (int i = 0; i < run->size; i++)
        if (presence_has(run->group, i) && all[i]) run->data.divided = true;
    *divided = run->data.divided;
    return SGP_OK;
}

/* sizes: (size) */
static sgp_status_t gather_bytes(run_t *run, const unsigned char *mine, const uint64_t *sizes,
                                 uint64_t room, reports_t *reports) {
    size_t size = (size_t)run->size;
    reports->bytes = malloc(size * room);
    reports->entries = calloc(size, sizeof *reports->entries);
    sgp_status_t status = reports->bytes && reports->entries
                              ? SGP_OK
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu reports", size);
    status = agreement_share(run->group, status);
    if (!status) status = sgp_group_gather(run->group, mine, room, reports->bytes);
    for (int i = 0; i < run->size && !status; i++)
        if (presence_has(run->group, i))
            reports->entries[reports->count++] =
                (sampler_report_t){reports->bytes + (size_t)i * room, sizes[i]};
    return status;
}

/* reports: released by the caller, also after an error. */
static sgp_status_t gather_reports(run_t *run, reports_t *reports) {
    unsigned char *mine = calloc(1, SGP_GATHER_BYTES);
    uint64_t sizes[run->size], own = 0, room = 0;
    size_t bytes = 0;
    sgp_status_t status =
        mine ? feed_report(run->replica.feed, mine, SGP_GATHER_BYTES, &bytes)
             : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a report of the samples");
    own = bytes;
    status = agreement_share(run->group, status);
    if (!status) status = sgp_group_gather(run->group, &own, sizeof own, sizes);
    for (int i = 0; i < run->size && !status; i++) room = sizes[i] > room ? sizes[i] : room;
    if (!status && room > SGP_GATHER_BYTES)
        status = sgp_fail(SGP_ERR_FORMAT, "a report of the samples has %" PRIu64 " bytes", room);
    if (!status) status = gather_bytes(run, mine, sizes, room, reports);
    free(mine);
    return status;
}

/* Agrees on the losses, and has the reports of exactly the nodes that are left. Each repetition has lost a node. */
static sgp_status_t meet(run_t *run, bool wanted, reports_t *reports, bool *divided) {
    for (;;) {
        sgp_status_t status = agree_on_losses(run, divided);
        if (status || !wanted || !*divided || train_keeps_parts(run->options)) return status;
        status = gather_reports(run, reports);
        if (status || run_losses_none_new(&run->losses)) return status;
        release(reports);
    }
}

/* ends: the part of the epoch that is known is over. SGP_ERR_AGAIN: the reports differ, and are merged now. */
static sgp_status_t settle_once(run_t *run, bool ends, bool *divided) {
    run_data_t *data = &run->data;
    feed_t *feed = run->replica.feed;
    uint64_t step = run_data_step(run);
    reports_t reports = {0};
    bool wanted = ends || step < feed_steps(feed);
    sgp_status_t status = meet(run, wanted, &reports, divided);
    if (!status && reports.count > 0) {
        bool rounds = ends || data->making_up;
        status = rounds ? feed_make_up(feed, step, reports.entries, reports.count)
                        : feed_merge(feed, step, reports.entries, reports.count);
        data->making_up |= rounds && !status;
        if (!status) status = take_place(run);
    }
    release(&reports);
    return status;
}

/* Each repetition has learned an event that a node did not know. */
static sgp_status_t settle(run_t *run, bool ends, bool *divided) {
    sgp_status_t status = SGP_ERR_AGAIN;
    for (int tries = 0; status == SGP_ERR_AGAIN && tries <= run->size; tries++)
        status = settle_once(run, ends, divided);
    if (status != SGP_ERR_AGAIN) return status;
    return sgp_fail(SGP_ERR_MISMATCH, "the nodes do not agree on who takes the samples of epoch %d",
                    (int)run->data.epoch + 1);
}

sgp_status_t run_data_settle(run_t *run) {
    bool divided;
    return run->goes_on ? settle(run, false, &divided) : SGP_OK;
}

sgp_status_t run_data_end(run_t *run, bool *more) {
    uint64_t begun = sgp_clock_now(), missed = 0;
    bool divided = false;
    *more = false;
    /* A run that stops at a loss may go on from a checkpoint of one that did not. */
    if (!run->goes_on && !run->data.divided) return SGP_OK;
    limits_epoch(&run->limits, run->seconds - run->seconds_before);
    sgp_status_t status = settle(run, true, &divided);
    if (status || !divided) return status;
    *more = run_data_step(run) < feed_steps(run->replica.feed);
    run->epoch_ns += sgp_clock_now() - begun;
    if (!*more) status = feed_missed(run->replica.feed, run_data_step(run), &missed);
    run->missed += (double)missed;
    return status;
}

/* ---- checkpoints ---- */

uint64_t *run_data_save(const run_t *run, size_t *words) {
    size_t bytes = feed_state_bytes(run->replica.feed); /* whole words */
    uint64_t *saved = malloc(bytes);
    if (!saved) {
        sgp_log(SGP_LOG_ERROR, "no memory for the division of the samples, %zu bytes", bytes);
        return NULL;
    }
    feed_save(run->replica.feed, (unsigned char *)saved);
    *words = bytes / sizeof *saved;
    return saved;
}

sgp_status_t run_data_load(run_t *run, const tensor_file_t *file,
                           char problem[TENSOR_FILE_PROBLEM]) {
    run_data_t *data = &run->data;
    const tensor_file_entry_t *entry = tensor_file_find(file, TENSOR);
    if (!entry) return SGP_OK;
    size_t bytes = (size_t)(entry->end - entry->begin);
    run_data_fini(run);
    data->saved = malloc(bytes + 1);
    data->saved_bytes = bytes;
    if (data->saved) return tensor_file_read(file, entry->begin, bytes, data->saved, problem);
    snprintf(problem, TENSOR_FILE_PROBLEM, "no memory for the division of the samples");
    return SGP_ERR_NO_MEMORY;
}

sgp_status_t run_data_restored(run_t *run) {
    const epochs_t *epochs = &run->replica.epochs;
    run_data_t *data = &run->data;
    uint64_t epoch = epochs_finished(epochs, run->step);
    if (data->rate_nodes < 1 || data->rate_nodes > SGP_MOST_PROCESSES || data->split_nodes < 1 ||
        data->split_nodes > SGP_MOST_PROCESSES || data->seat >= SGP_MOST_PROCESSES ||
        !(run->missed >= 0))
        return sgp_fail(SGP_ERR_FORMAT, "a checkpoint whose nodes are out of range");
    set_rate(run);
    feed_set_seat(run->replica.feed, (int)data->seat);
    sgp_status_t status =
        feed_set_share(run->replica.feed, (int)data->seat, (int)data->split_nodes);
    if (status) return status;
    return run_data_begin(run, epoch, run->step - epochs_start(epochs, epoch));
}
