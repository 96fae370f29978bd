/* SPDX-License-Identifier: Apache-2.0 */
#include "run_results.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void results_begin(results_t *run, const scenario_t *scenario) {
    memset(run, 0, sizeof *run);
    run->scenario = scenario;
    pthread_mutex_init(&run->lock, NULL);
}

void results_end(results_t *run) {
    pthread_mutex_destroy(&run->lock);
}

void results_fail(results_t *run, const char *format, ...) {
    va_list arguments;
    pthread_mutex_lock(&run->lock);
    if (!*run->failure) {
        va_start(arguments, format);
        vsnprintf(run->failure, sizeof run->failure, format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&run->lock);
}

void results_add(uint64_t *hash, const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    if (*hash == 0) *hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++) *hash = (*hash ^ at[i]) * 0x100000001b3u;
}

void results_step(result_t *result, double weight, uint64_t time) {
    results_add(&result->hash, &weight, sizeof weight);
    results_add(&result->hash, &time, sizeof time);
    result->steps++;
}

static int members_of(const results_t *run) {
    return scenario_seats(run->scenario);
}

/* Whether a node's call had another one. */
static bool had(const results_t *run, int call, int a, int b) {
    return run->of[a].calls[call].there >> run->of[b].seat & 1;
}

uint64_t results_hash(const results_t *run) {
    uint64_t hash = 0;
    for (int r = 0; r < members_of(run); r++) {
        const result_t *result = &run->of[r];
        if (!result->ended) continue;
        results_add(&hash, &result->hash, sizeof result->hash);
        for (int c = 0; c < result->calls_count; c++)
            results_add(&hash, &result->calls[c].hash, sizeof result->calls[c].hash);
    }
    return hash;
}

/* ---- calls ---- */

/* A node can return from a call and die before it has told the others, who may then return another result. So a result
 * counts once the node is known to live after all nodes that came to the end have theirs. */
static uint64_t settled_at(const results_t *run, int call) {
    uint64_t latest = 0;
    for (int r = 0; r < members_of(run); r++) {
        const result_t *result = &run->of[r];
        if (!result->ended || call >= result->calls_count) continue;
        if (result->calls[call].returned > latest) latest = result->calls[call].returned;
    }
    return latest;
}

static bool counts(const result_t *result, int call, uint64_t settled) {
    if (call >= result->calls_count || call < result->first_call) return false;
    return result->ended && !result->in_danger ? result->last >= settled : result->last > settled;
}

static bool differ(double a, double b) {
    return fabs(a - b) > 1e-9 * fmax(1, fabs(a));
}

/* Whether `a` went on without `b` while that one lived. */
static bool goes_on_without(const results_t *run, int a, int b) {
    for (int c = run->of[b].first_call; c < run->of[a].calls_count; c++) {
        const call_result_t *found = &run->of[a].calls[c];
        if (c >= run->of[a].first_call && !had(run, c, a, b) && found->returned < run->of[b].last)
            return true;
    }
    return false;
}

/* One of them was out of touch, and struck off by the other. It learns that, or comes to its end alone once the others are gone:
 * but the two never go on side by side. */
static bool parted(results_t *run, int call, int a, int b) {
    bool knows = had(run, call, a, b), known = had(run, call, b, a);
    if ((knows && known) || !scenario_may_strike(run->scenario)) return false;
    if (goes_on_without(run, a, b) && goes_on_without(run, b, a))
        results_fail(run, "call %d: nodes %d and %d both go on, each without the other", call, a,
                     b);
    return true;
}

static void compare(results_t *run, int call, int a, int b) {
    const call_result_t *first = &run->of[a].calls[call], *second = &run->of[b].calls[call];
    if (parted(run, call, a, b)) return;
    if (first->hash != second->hash)
        results_fail(run, "call %d: nodes %d and %d have different results (nodes %#x and %#x)",
                     call, a, b, first->there, second->there);
    if (isfinite(first->factor) && isfinite(second->factor) &&
        differ(first->factor, second->factor))
        results_fail(run,
                     "call %d: by their messages, node %d's w was scaled by %.12g, node %d's by "
                     "%.12g",
                     call, a, first->factor, b, second->factor);
}

/* Where all that took part are known, their weights add up to their number. */
static void check_weights(results_t *run, int call, uint64_t settled, unsigned there) {
    double sum = 0, total = 0;
    int nodes = 0;
    for (int r = 0; r < members_of(run); r++) {
        const result_t *result = &run->of[r];
        if (!counts(result, call, settled) || result->calls[call].there != there) continue;
        sum += result->calls[call].weight;
        total = result->calls[call].total;
        nodes++;
    }
    if (nodes == (int)round(total) && fabs(sum - nodes) > 1e-9)
        results_fail(run, "call %d: the weights of %d nodes add up to %.15g", call, nodes, sum);
}

/* Without an event the weights are what the messages made of them. */
static void check_factor(results_t *run, int call, int rank) {
    const call_result_t *found = &run->of[rank].calls[call];
    if (found->changes == 0 && isfinite(found->factor) && differ(found->factor, 1))
        results_fail(run, "call %d: node %d's w is %.12g times what its messages say", call, rank,
                     found->factor);
}

static void check_call(results_t *run, int call) {
    uint64_t settled = settled_at(run, call);
    int first = -1;
    for (int r = 0; r < members_of(run); r++) {
        if (!counts(&run->of[r], call, settled)) continue;
        if (first < 0) first = r;
        for (int other = first; other < r; other++)
            if (counts(&run->of[other], call, settled)) compare(run, call, other, r);
        check_factor(run, call, r);
    }
    if (first < 0 || run->of[first].calls[call].total <= 0) return;
    check_weights(run, call, settled, run->of[first].calls[call].there);
}

/* ---- the mean ---- */

/* Whether all nodes came to the end together, and all messages as a whole: of an interrupted one a part moves z before its
 * weight is there. */
static bool is_whole(const results_t *run) {
    unsigned all = (1u << run->scenario->nodes) - 1;
    for (int r = 0; r < run->scenario->nodes; r++) {
        const result_t *result = &run->of[r];
        if (!result->ended || result->interruptions) return false;
        if (result->calls[result->calls_count - 1].there != all) return false;
    }
    return true;
}

/* Where no node was lost or has come and nothing has moved the vectors but the mixing, the mean is that of the start. */
static void check_mean(results_t *run) {
    const scenario_t *scenario = run->scenario;
    if (scenario->trains || scenario->joins_count > 0 || !is_whole(run)) return;
    for (size_t i = 0; i < SCENARIO_LENGTH; i++) {
        double mean = 0;
        for (int r = 0; r < scenario->nodes; r++)
            mean += (double)scenario_initial(scenario, r, i) / scenario->nodes;
        if (fabs(mean - (double)run->of[0].mean[i]) > 1e-4)
            results_fail(run, "the mean of coordinate %zu is %g, at the start it was %g", i,
                         (double)run->of[0].mean[i], mean);
    }
}

/* ---- calls that were passed over ---- */

static void check_passed_over(results_t *run, int rank) {
    int call = run->of[rank].calls_count;
    for (int r = 0; r < members_of(run); r++) {
        const result_t *other = &run->of[r];
        if (call < other->calls_count && call >= other->first_call && !had(run, call, r, rank))
            return;
    }
    results_fail(run, "node %d passes over call %d, which nobody has made without it", rank, call);
}

/* ---- all ---- */

/* A newcomer whose only acquaintance dies is not in the others' call of that moment. */
static bool may_end_early(const results_t *run, int rank) {
    const scenario_t *scenario = run->scenario;
    int seat = run->of[rank].seat;
    if (rank >= scenario->nodes && !scenario_is_quiet(scenario)) return true;
    return scenario->leaves[seat] != SCENARIO_NEVER || scenario_kills(scenario, seat) ||
           scenario_may_strike(scenario);
}

void results_check(results_t *run) {
    for (int r = 0; r < members_of(run); r++)
        if (run->of[r].began && !run->of[r].ended && !may_end_early(run, r))
            results_fail(run, "node %d did not come to the end", r);
    for (int r = 0; r < members_of(run); r++)
        if (run->of[r].passed_over) check_passed_over(run, r);
    for (int call = 0; call < SCENARIO_STEPS + 2; call++) check_call(run, call);
    check_mean(run);
}
