/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sampler.h"

#include "base/logging.h"
#include "base/random.h"
#include "data/late_plan.h"

#include <inttypes.h>
#include <stdlib.h>

static sgp_status_t check_members(int rank, int size, int workers) {
    if (rank < 0 || rank >= size)
        return sgp_fail(SGP_ERR_INVALID, "rank is %d of %d nodes: should be 0 to %d", rank, size,
                        size - 1);
    if (workers < 0 || (workers > 0 && size % workers))
        return sgp_fail(SGP_ERR_INVALID, "%d processes are no whole number of nodes of %d workers",
                        size, workers);
    return SGP_OK;
}

static sgp_status_t check(const sampler_options_t *options) {
    if (options->count == 0)
        return sgp_fail(SGP_ERR_INVALID, "the training set has 0 samples: should be at least 1");
    if (options->batch < 1)
        return sgp_fail(SGP_ERR_INVALID, "batch is %d: should be at least 1", options->batch);
    return check_members(options->rank, options->size, options->workers);
}

static int workers_of(const sampler_t *sampler) {
    return sampler->options.workers > 0 ? sampler->options.workers : 1;
}

/* ---- an epoch ---- */

sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options) {
    sgp_status_t status = check(options);
    if (status) return status;
    size_t each = (options->own ? 2 : 1) * sizeof(uint64_t);
    uint64_t *permutation =
        options->count <= SIZE_MAX / each ? malloc(options->count * each) : NULL;
    if (!permutation)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the order of %" PRIu64 " samples",
                        options->count);
    *sampler = (sampler_t){.options = *options, .permutation = permutation};
    int workers = workers_of(sampler);
    status = segments_init(&sampler->main, &(segments_options_t){.count = options->count,
                                                                 .workers = workers,
                                                                 .batch = options->batch,
                                                                 .nodes = options->size / workers});
    if (status) {
        sampler_fini(sampler);
        return status;
    }
    sampler->self = segments_number((uint32_t)(options->rank / workers), 0);
    sampler->worker = options->rank % workers;
    sampler->own = (sampler_own_t){.count = options->count, .seed = options->seed};
    sampler_begin_epoch(sampler, 0);
    return SGP_OK;
}

void sampler_fini(sampler_t *sampler) {
    segments_fini(&sampler->main);
    segments_fini(&sampler->make_up);
    position_set_fini(&sampler->returned);
    free(sampler->permutation);
    sampler->permutation = NULL;
}

uint64_t sampler_steps(const sampler_t *sampler) {
    return segments_end(sampler->making_up ? &sampler->make_up : &sampler->main);
}

static void end_making_up(sampler_t *sampler) {
    segments_fini(&sampler->make_up);
    position_set_clear(&sampler->returned);
    sampler->making_up = false;
}

void sampler_set_own(sampler_t *sampler, const sampler_own_t *own) {
    sampler->own = *own;
}

/* Passes over the node's own samples, each in another order, one behind the other: the last one may reach beyond `count`, and
 * there is room for it. */
static void draw_own(sampler_t *sampler, uint64_t epoch) {
    const sampler_own_t *own = &sampler->own;
    sgp_random_t random;
    sgp_random_init(&random, own->seed, epoch);
    for (uint64_t first = 0; first < sampler->options.count; first += own->count) {
        uint64_t *pass = sampler->permutation + first;
        for (uint64_t i = 0; i < own->count; i++) pass[i] = own->samples ? own->samples[i] : i;
        sgp_random_shuffle_u64(&random, pass, own->count);
    }
}

static void draw(sampler_t *sampler, uint64_t epoch) {
    uint64_t count = sampler->options.count;
    for (uint64_t i = 0; i < count; i++) sampler->permutation[i] = i;
    sgp_random_t random;
    sgp_random_init(&random, sampler->options.seed, epoch);
    sgp_random_shuffle_u64(&random, sampler->permutation, count);
}

void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch) {
    uint64_t steps = sampler_steps(sampler);
    if (sampler->options.own) draw_own(sampler, epoch);
    else draw(sampler, epoch);
    if (sampler->making_up) end_making_up(sampler);
    segments_begin_epoch(&sampler->main, steps);
}

void sampler_begin_rest(sampler_t *sampler, uint64_t step, uint64_t position) {
    segments_begin_at(&sampler->main, step, position);
}

/* ---- other members ---- */

/* Positions that are still to be made up: those that were lost in make-up steps too. */
static sgp_status_t list_rest(const sampler_t *sampler, uint64_t step, position_set_t *rest) {
    const segments_t *make_up = &sampler->make_up;
    const position_set_t *returned = &sampler->returned;
    position_set_t lost = {0};
    sgp_status_t status = segments_returned(make_up, step, &lost);
    for (size_t i = 0; i < lost.count && !status; i++)
        status = position_set_append_part(rest, returned, lost.ranges[i].first, lost.ranges[i].end);
    if (!status)
        status = position_set_append_part(rest, returned, segments_reached(make_up, step),
                                          position_set_total(returned));
    position_set_fini(&lost);
    position_set_arrange(rest);
    return status;
}

/* A main part that is at its end, with what is left to be made up. */
static sgp_status_t fold_making_up(sampler_t *sampler, uint64_t step) {
    position_set_t rest = {0};
    sgp_status_t status = list_rest(sampler, step, &rest);
    if (status) {
        position_set_fini(&rest);
        return status;
    }
    end_making_up(sampler);
    position_set_fini(&sampler->main.given);
    sampler->main.given = rest;
    segments_begin_at(&sampler->main, step, sampler->options.count);
    return SGP_OK;
}

sgp_status_t sampler_set_plan(sampler_t *sampler, uint64_t step, const uint64_t *members, int nodes,
                              uint64_t self) {
    segments_t *segments = sampler_segments(sampler);
    sgp_status_t status = segments_reserve(segments, (size_t)nodes, 0);
    if (!status)
        status = sampler->making_up ? fold_making_up(sampler, step)
                                    : segments_fold(&sampler->main, step);
    if (status) return status;
    sampler->self = self;
    return segments_set_members(&sampler->main, members, nodes); /* there is room */
}

sgp_status_t sampler_set_members(sampler_t *sampler, uint64_t step, int rank, int size) {
    int workers = workers_of(sampler);
    sgp_status_t status = check_members(rank, size, sampler->options.workers);
    if (!status)
        status = sampler_set_plan(sampler, step, NULL, size / workers,
                                  segments_number((uint32_t)(rank / workers), 0));
    if (!status) sampler->worker = rank % workers;
    return status;
}

void sampler_set_self(sampler_t *sampler, uint64_t self) {
    sampler->self = self;
}

/* A member that hears of its own death has taken its part of the steps that it has made. */
static sgp_status_t keep_own_steps(sampler_t *sampler, segments_t *segments,
                                   const segments_event_t *events, size_t count, uint64_t now) {
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < count && !status; i++) {
        segments_event_t event = events[i];
        if (event.kind != SEGMENTS_LEAVES || event.member != sampler->self) continue;
        event.first = now;
        status = segments_apply(segments, &event, 1);
    }
    return status;
}

/* To the segments of the steps to come. The members of the main part are those of the next epoch too. */
static sgp_status_t tell_all(sampler_t *sampler, const segments_event_t *events, size_t count,
                             uint64_t now) {
    sgp_status_t status = segments_apply(&sampler->main, events, count);
    if (!status) status = keep_own_steps(sampler, &sampler->main, events, count, now);
    if (status || !sampler->making_up) return status;
    status = segments_apply(&sampler->make_up, events, count);
    return status ? status : keep_own_steps(sampler, &sampler->make_up, events, count, now);
}

sgp_status_t sampler_tell(sampler_t *sampler, const segments_event_t *events, size_t count,
                          uint64_t now, uint64_t *changed) {
    segments_t *segments = sampler_segments(sampler);
    uint64_t from = segments_changed_from(segments, events, count);
    late_plan_t late;
    sgp_status_t status = late_plan_begin(&late, segments, sampler->self, sampler->worker,
                                          from < now ? from : now, now);
    if (status) return status;
    status = tell_all(sampler, events, count, now);
    sgp_status_t ended = late_plan_end(&late, segments);
    if (!status) status = ended;
    if (!status && changed) *changed = from > now ? from : now;
    return status;
}

uint64_t sampler_reached(const sampler_t *sampler, uint64_t step) {
    if (!sampler->making_up || step < sampler->make_up.start.step)
        return segments_reached(&sampler->main, step);
    return sampler->options.count - position_set_total(&sampler->returned) +
           segments_reached(&sampler->make_up, step);
}

sgp_status_t sampler_missed(const sampler_t *sampler, uint64_t until, uint64_t *missed) {
    position_set_t lost = {0};
    sgp_status_t status = SGP_OK;
    if (sampler->making_up) status = segments_returned(&sampler->make_up, until, &lost);
    if (!status) *missed = position_set_total(&lost);
    position_set_fini(&lost);
    return status;
}

/* ---- the samples of a step ---- */

static bool is_make_up(const sampler_t *sampler, uint64_t step) {
    return sampler->making_up && step >= sampler->make_up.start.step;
}

static const segments_t *segments_of(const sampler_t *sampler, uint64_t step) {
    return is_make_up(sampler, step) ? &sampler->make_up : &sampler->main;
}

cursor_part_t sampler_part(const sampler_t *sampler, uint64_t step) {
    return segments_part(segments_of(sampler, step), step, sampler->self, sampler->worker);
}

/* In the node's own order: behind the entries of the steps before, and of the workers before this one. */
static uint64_t own_place(const sampler_t *sampler, uint64_t step, const cursor_part_t *part,
                          int i) {
    const segments_t *segments = segments_of(sampler, step);
    uint64_t each = (uint64_t)workers_of(sampler) * (uint64_t)sampler->options.batch;
    uint64_t first = segments_part(segments, step, sampler->self, 0).first;
    return step * each + (part->first - first) + (uint64_t)i;
}

uint64_t sampler_entry(const sampler_t *sampler, uint64_t step, const cursor_part_t *part, int i) {
    if (sampler->options.own) return own_place(sampler, step, part, i);
    uint64_t place = sampler_position(part, i);
    if (!is_make_up(sampler, step)) return place;
    uint64_t total = position_set_total(&sampler->returned);
    return total > 0 ? position_set_at(&sampler->returned, place % total) : place;
}

int sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices) {
    cursor_part_t part = sampler_part(sampler, step);
    for (int i = 0; i < sampler->options.batch; i++)
        indices[i] = sampler_at(sampler, sampler_entry(sampler, step, &part, i));
    return part.count;
}
