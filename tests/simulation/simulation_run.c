/* SPDX-License-Identifier: Apache-2.0 */
#include "simulation_run.h"

#include "books.h"
#include "run_results.h"

#include "base/logging.h"
#include "group/agree_call.h"
#include "group/membership.h"
#include "group/newcomers.h"
#include "mixing/algorithm_table.h"
#include "mixing/late.h"
#include "mixing/mixer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TIME_LIMIT_MS 60000 /* of a call, in virtual time */
#define LEAST_KEPT    0.24  /* 1/4, less what the least messages take */

enum {
    GATHERED = 5,
    VIEW_BYTES = 4096
}; /* numbers that a node gives to a gather; of a whole view */

/* A node of the run, in its own thread. */
typedef struct node {
    results_t *run;
    result_t *result;
    books_t *books;
    FILE *trace;
    sgp_loopback_t *hub;
    int rank; /* its seat */
    sgp_transport_t *transport;
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    double weight; /* after the last step; 0: there was none */
    float gradient[SCENARIO_LENGTH];
    scenario_hull_t hull;   /* the same for all nodes */
    struct node *newcomers; /* (SCENARIO_JOINS) of the run */
    /* A newcomer: */
    bool comes, started;
    sgp_sponsored_t is;  /* as its sponsor has it */
    atomic_int answered; /* by the sponsor: 1: it is admitted, -1: not */
    int first;           /* step */
    sgp_newcomer_t as;
    unsigned char view[VIEW_BYTES];
    pthread_t thread;
} node_t;

static const scenario_t *scenario_of(const node_t *node) {
    return node->run->scenario;
}

static uint64_t now(const node_t *node) {
    return sgp_transport_now(node->transport);
}

/* ---- what must hold after each step ---- */

static void check_vector(node_t *node, int step) {
    const float *z = sgp_mixer_parameters(node->mixer);
    float slack = node->hull.rounding;
    bool exact = scenario_keeps_equal(scenario_of(node));
    for (size_t i = 0; i < SCENARIO_LENGTH; i++) {
        if (!(z[i] >= node->hull.low[i] - slack && z[i] <= node->hull.high[i] + slack))
            results_fail(node->run, "node %d, step %d: z[%zu] = %g is outside [%g, %g]", node->rank,
                         step, i, (double)z[i], (double)node->hull.low[i],
                         (double)node->hull.high[i]);
        float start = node->hull.low[i]; /* of all nodes, where it is equal */
        if (scenario_is_equal(i) && !(exact ? z[i] == start : fabsf(z[i] - start) <= slack))
            results_fail(node->run, "node %d, step %d: z[%zu] = %.9g, where all nodes began equal",
                         node->rank, step, i, (double)z[i]);
    }
}

static double weight_of(const node_t *node) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(node->mixer, &statistics);
    return statistics.weight;
}

static bool waits(const scenario_t *scenario) {
    return scenario->options.overlap != SGP_OVERLAP_ASYNC;
}

/* Without waiting, messages that have been folded are not in w yet. */
static void check_weight(node_t *node, int step, bool after_loss) {
    double w = weight_of(node), expected, least = books_least_kept(node->books, node->rank);
    double late = sgp_late_weight(node->mixer); /* released, and absorbed by the next step */
    if (!(isfinite(w) && w > 0))
        results_fail(node->run, "node %d, step %d: w = %g", node->rank, step, w);
    if (!waits(scenario_of(node))) return;
    if (!books_agree(node->books, node->rank, w + late, &expected))
        results_fail(node->run, "node %d, step %d: w = %.12g, by its messages %.12g", node->rank,
                     step, w + late, expected);
    /* The books know no order of rounds. A node that begins below the limit sends next to nothing. */
    if (scenario_of(node)->options.rounds > 1)
        least = node->weight < 0.25 && w > 0.9 * node->weight ? INFINITY : w;
    node->weight = w;
    if (after_loss && least < LEAST_KEPT)
        results_fail(node->run, "node %d, step %d: a push left only w = %g", node->rank, step,
                     least);
}

/* ---- steps ---- */

/* false: the node was killed meanwhile. */
static bool sleep_for(node_t *node, uint64_t nanoseconds) {
    uint64_t until = now(node) + nanoseconds;
    if (until < nanoseconds) return false;
    sgp_transport_lock(node->transport);
    while (sgp_transport_now(node->transport) < until) sgp_transport_pause(node->transport, until);
    sgp_transport_unlock(node->transport);
    return !books_killed(node->transport);
}

static sgp_status_t mix(node_t *node) {
    const scenario_t *scenario = scenario_of(node);
    const float *z = sgp_mixer_parameters(node->mixer);
    if (!scenario->trains) return sgp_mixer_step(node->mixer, NULL, NULL, 0);
    for (size_t i = 0; i < SCENARIO_LENGTH; i++)
        node->gradient[i] =
            scenario_is_equal(i) ? 0 : z[i] - scenario_target(scenario, node->rank, i);
    return sgp_mixer_step(node->mixer, node->optimizer, node->gradient,
                          (float)SCENARIO_LEARNING_RATE);
}

static bool ended_well(node_t *node, const char *call, int step, sgp_status_t status) {
    if (books_killed(node->transport)) return false;
    if (status == SGP_OK) return true;
    if (status == SGP_ERR_PEER_LOST && scenario_may_strike(scenario_of(node))) return false;
    if (status == SGP_ERR_PEER_LOST && node->comes && !scenario_is_quiet(scenario_of(node)))
        return false;
    results_fail(node->run, "node %d, step %d: %s: %s, %s", node->rank, step, call,
                 sgp_status_name(status), sgp_last_error());
    return false;
}

/* The steps that the mixer has made, or passed over. */
static int steps_made(const node_t *node) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(node->mixer, &statistics);
    return node->first + (int)(statistics.steps + statistics.passed_over);
}

static bool make_step(node_t *node, int step) {
    bool after_loss = sgp_fates_changes(node->transport->fates) > 0;
    if (!sleep_for(node, scenario_compute(scenario_of(node), node->rank, step))) return false;
    if (node->trace)
        fprintf(node->trace, "%10.3f ms  node %d begins step %d\n", (double)now(node) / SCENARIO_MS,
                node->rank, step);
    sgp_status_t status = mix(node);
    if (!ended_well(node, "step", step, status)) return false;
    check_vector(node, step);
    check_weight(node, step, after_loss);
    results_step(node->result, weight_of(node), now(node));
    if (node->trace)
        fprintf(node->trace, "%10.3f ms  node %d ends step %d with w = %.9g, z[0] = %g\n",
                (double)now(node) / SCENARIO_MS, node->rank, step, weight_of(node),
                (double)sgp_mixer_parameters(node->mixer)[0]);
    return true;
}

/* ---- calls of all nodes ---- */

static void check_total(node_t *node, int step, double total) {
    if (fabs(total - round(total)) > 1e-9 || round(total) < 1 ||
        round(total) > scenario_seats(scenario_of(node)))
        results_fail(node->run, "node %d, after step %d: W = %.15g", node->rank, step, total);
}

static sgp_status_t average(node_t *node, int step, call_result_t *found) {
    sgp_mixer_consensus_t consensus;
    float mean[SCENARIO_LENGTH];
    bool gone[SCENARIO_SEATS], there[SCENARIO_SEATS] = {false};
    for (int r = 0; r < scenario_seats(scenario_of(node)); r++)
        gone[r] = sgp_fates_of(node->transport->fates, r).state != SGP_FATE_PRESENT;
    books_average(node->books, node->rank);
    sgp_status_t status = sgp_mixer_average(node->mixer, mean, &consensus);
    for (int r = 0; r < scenario_seats(scenario_of(node)); r++)
        there[r] = sgp_group_took_part(node->group, r);
    books_averaged(node->books, node->rank, there);
    if (status != SGP_OK || books_killed(node->transport)) return status;
    books_check_returned(node->books, node->rank, gone);
    check_total(node, step, consensus.w_total);
    if (consensus.drift > 1e-4)
        results_fail(node->run, "node %d, after step %d: drift %g", node->rank, step,
                     consensus.drift);
    check_vector(node, step);
    books_least_kept(node->books, node->rank);
    found->total = consensus.w_total;
    found->weight = node->weight = weight_of(node);
    found->factor = books_rescaled(node->books, node->rank, found->weight);
    found->changes = sgp_fates_changes(node->transport->fates);
    /* One that comes does not know what was before, and what was sent to one that is late counts only when it is here. */
    if (scenario_of(node)->joins_count > 0) found->changes++;
    memcpy(node->result->mean, mean, sizeof mean);
    results_add(&found->hash, mean, sizeof mean);
    results_add(&found->hash, &consensus.w_total, sizeof consensus.w_total);
    return status;
}

static uint64_t gathered(int rank, int call, int i) {
    return 1 + (uint64_t)rank * 1000 + (uint64_t)call * 100000 + (uint64_t)i;
}

/* Each node's numbers are there as a whole, or zeros. */
static void check_gathered(node_t *node, int call, const uint64_t *all) {
    for (int r = 0; r < scenario_seats(scenario_of(node)); r++) {
        bool there = sgp_group_took_part(node->group, r);
        if (r == node->rank && !there)
            results_fail(node->run, "node %d: a gather without itself", node->rank);
        for (int i = 0; i < GATHERED; i++)
            if (all[r * GATHERED + i] != (there ? gathered(r, call, i) : 0))
                results_fail(node->run, "node %d: wrong bytes of node %d in a gather", node->rank,
                             r);
    }
}

static sgp_status_t gather(node_t *node, int call) {
    uint64_t mine[GATHERED], all[SCENARIO_SEATS * GATHERED];
    for (int i = 0; i < GATHERED; i++) mine[i] = gathered(node->rank, call, i);
    sgp_status_t status = sgp_group_gather(node->group, mine, sizeof mine, all);
    if (status == SGP_OK && !books_killed(node->transport)) check_gathered(node, call, all);
    return status;
}

static bool make_call(node_t *node, scenario_call_t call, int step) {
    static const char *const names[] = {"nothing", "average", "barrier", "gather"};
    call_result_t *found = &node->result->calls[node->result->calls_count];
    sgp_status_t status = SGP_OK;
    if (call == SCENARIO_NOTHING) return true;
    *found = (call_result_t){.factor = NAN};
    if (call == SCENARIO_AVERAGE) status = average(node, step, found);
    if (call == SCENARIO_BARRIER) status = sgp_group_barrier(node->group);
    if (call == SCENARIO_GATHER) status = gather(node, node->result->calls_count);
    if (!ended_well(node, names[call], step, status)) return false;
    for (int r = 0; r < scenario_seats(scenario_of(node)); r++)
        found->there |= (unsigned)sgp_group_took_part(node->group, r) << r;
    results_add(&found->hash, &found->there, sizeof found->there);
    found->returned = now(node);
    node->result->calls_count++;
    if (node->trace)
        fprintf(node->trace, "%10.3f ms  node %d returns from %s with nodes %#x, w = %.9g\n",
                (double)now(node) / SCENARIO_MS, node->rank, names[call], found->there,
                weight_of(node));
    return true;
}

/* ---- the views of the members ---- */

/* What a node tells of its view. */
typedef struct sight {
    uint64_t digest;
    uint64_t
        quiet; /* 1: it has seen no event, and its view has not changed, for VIEWS_MEET x VIEWS_WAIT_MS (scenario.h) */
} sight_t;

static void check_views(node_t *node, const sight_t *all) {
    int first = -1;
    for (int r = 0; r < scenario_seats(scenario_of(node)); r++) {
        if (!sgp_group_took_part(node->group, r)) continue;
        if (!all[r].quiet) return;
        if (first < 0) first = r;
    }
    for (int r = first; r < scenario_seats(scenario_of(node)); r++)
        if (sgp_group_took_part(node->group, r) && all[r].digest != all[first].digest)
            results_fail(node->run, "%d ms after the last event nodes %d and %d have other views",
                         SCENARIO_VIEWS_MEET * SCENARIO_VIEWS_WAIT_MS, first, r);
}

/* Where nothing has happened for a while all nodes that are there have the same view. false: the node is gone. */
static bool compare_views(node_t *node) {
    sight_t mine, all[SCENARIO_SEATS];
    int last = scenario_of(node)->steps;
    sgp_membership_t *membership = sgp_group_membership(node->group);
    uint32_t events = sgp_fates_events(node->transport->fates);
    uint64_t before = 0; /* one that was struck off can wake, and tell what it has seen */
    for (int i = 0; i < SCENARIO_VIEWS_MEET; i++) {
        before = sgp_membership_digest(membership);
        if (!sleep_for(node, SCENARIO_VIEWS_WAIT_MS * (uint64_t)SCENARIO_MS)) return false;
        if (!ended_well(node, "barrier", last, sgp_group_barrier(node->group))) return false;
    }
    mine.digest = sgp_membership_digest(membership);
    mine.quiet = sgp_fates_events(node->transport->fates) == events && mine.digest == before;
    sgp_status_t status = sgp_group_gather(node->group, &mine, sizeof mine, all);
    if (!ended_well(node, "gather of views", last, status)) return false;
    check_views(node, all);
    return true;
}

/* ---- a node's life ---- */

/* The others cannot be behind a call that this node has not made, unless they have struck it off: then it must not go on.
 * false: it does not. */
static bool check_passed(node_t *node, int first, int last) {
    const scenario_t *scenario = scenario_of(node);
    if (last < first || last >= scenario->steps)
        results_fail(node->run, "node %d, step %d: it counts %d steps", node->rank, first,
                     last + 1);
    for (int step = first; step < last && step < scenario->steps; step++) {
        if (scenario->calls[step] == SCENARIO_NOTHING) continue;
        node->result->passed_over = true;
        return false;
    }
    return true;
}

/* ---- newcomers ---- */

static void *newcomer_main(void *argument);

/* One that was struck off for its silence may live, and keeps its transport; so does one that never made a group. */
static bool is_gone(const node_t *node, int rank) {
    sgp_fate_t fate = sgp_fates_of(node->transport->fates, rank);
    return fate.state == SGP_FATE_LEFT || fate.cause == SGP_CAUSE_ENDED;
}

/* By another newcomer, of which this node may not know yet. */
static bool is_taken(const node_t *node, int rank) {
    for (int j = 0; j < SCENARIO_JOINS; j++)
        if (node->newcomers[j].started && node->newcomers[j].rank == rank) return true;
    return false;
}

/* The seat of a member that is gone, or one that was never used. */
static int choose_seat(const node_t *node, int join, uint32_t *incarnation) {
    const scenario_t *scenario = scenario_of(node);
    sgp_membership_t *membership = sgp_group_membership(node->group);
    int own = scenario->nodes + join;
    for (int r = *incarnation = 0; scenario->joins[join].replaces && r < scenario->nodes; r++)
        if (node->run->of[r].began && !is_taken(node, r) && is_gone(node, r) &&
            sgp_membership_is_free(membership, r, incarnation))
            return r;
    *incarnation = 0;
    return own;
}

/* Does what a sponsor does that was called. */
static void invite(node_t *node, int join) {
    sgp_sponsor_owner_t owner = sgp_newcomers_owner(node->group);
    node_t *guest = &node->newcomers[join];
    sgp_sponsored_t is = {.candidate = 77 + (uint64_t)join};
    sgp_sponsor_offer_t offer;
    char why[SGP_ENTER_REASON];
    bool again;
    guest->rank = is.seat = choose_seat(node, join, &is.incarnation);
    guest->as =
        (sgp_newcomer_t){.id = is.candidate, .view = guest->view, .timeout_ms = TIME_LIMIT_MS};
    if (!owner.offer(owner.context, &is, &offer, why) || offer.view_bytes > VIEW_BYTES) return;
    memcpy(guest->view, offer.view, guest->as.view_bytes = offer.view_bytes);
    if (!owner.admit(owner.context, &is, &guest->as.step, &again, why)) return;
    if (sgp_loopback_join(node->hub, is.seat, &guest->as.transport) != SGP_OK) abort();
    guest->transport = guest->as.transport;
    guest->is = is;
    guest->result->seat = is.seat;
    guest->started = true;
    if (node->trace)
        fprintf(node->trace, "%10.3f ms  node %d invites node %d, incarnation %u, to step %d\n",
                (double)now(node) / SCENARIO_MS, node->rank, is.seat, is.incarnation,
                (int)guest->as.step);
    if (pthread_create(&guest->thread, NULL, newcomer_main, guest) != 0) abort();
}

/* Once it is certain that no other sponsor has given the seat away. */
static void answer(const node_t *node, node_t *guest) {
    sgp_sponsor_owner_t owner = sgp_newcomers_owner(node->group);
    bool stays = true;
    if (atomic_load(&guest->answered) || !owner.settled(owner.context, &guest->is, &stays)) return;
    atomic_store(&guest->answered, stays ? 1 : -1);
}

/* Until its sponsor has answered. false: that it is not admitted, or not at all. */
static bool await_answer(node_t *node) {
    uint64_t end = now(node) + TIME_LIMIT_MS * SCENARIO_MS;
    while (!atomic_load(&node->answered) && now(node) < end && sleep_for(node, 4999983)) {
    }
    return atomic_load(&node->answered) > 0;
}

static void invite_all(node_t *node, int step) {
    const scenario_t *scenario = scenario_of(node);
    for (int j = 0; j < scenario->joins_count && !node->comes; j++)
        if (scenario->joins[j].sponsor == node->rank && node->newcomers[j].started &&
            !books_killed(node->transport))
            answer(node, &node->newcomers[j]);
    for (int j = 0; j < scenario->joins_count && !node->comes; j++) {
        const scenario_join_t *join = &scenario->joins[j];
        if (join->sponsor == node->rank && join->at <= step && !node->newcomers[j].started &&
            !books_killed(node->transport))
            invite(node, j);
    }
}

/* false: it does not come in: something has kept it away, or the others have come to their end before. */
static bool come_in(node_t *node) {
    const scenario_t *scenario = scenario_of(node);
    enum { LATE = 8 }; /* steps after its own from which it may begin */
    sgp_optimizer_options_t plain = {.count = SCENARIO_LENGTH};
    if (!await_answer(node)) return false;
    sgp_status_t status = sgp_newcomer_found(&node->as, &node->group);
    if (status == SGP_OK)
        status = sgp_mixer_create(node->group, &scenario->options, NULL, &node->mixer);
    /* Without waiting the others can come to their end while its sponsor is far behind them. */
    bool must = scenario_is_quiet(scenario) && waits(scenario) &&
                node->as.step + LATE < (uint64_t)scenario->steps;
    if (status != SGP_OK && !must) return false;
    if (status == SGP_OK) status = sgp_optimizer_create(&plain, &node->optimizer);
    if (!ended_well(node, "coming in", -1, status)) return false;
    node->first = (int)sgp_group_first_step(node->group);
    for (int step = 0; step < node->first && step < scenario->steps; step++)
        node->result->calls_count += scenario->calls[step] != SCENARIO_NOTHING;
    node->result->first_call = node->result->calls_count;
    if (node->trace)
        fprintf(node->trace, "%10.3f ms  node %d comes in with step %d\n",
                (double)now(node) / SCENARIO_MS, node->rank, node->first);
    return node->result->began = true;
}

typedef enum node_end { NODE_ENDS, NODE_LEAVES, NODE_IS_KILLED } node_end_t;

static node_end_t live(node_t *node) {
    const scenario_t *scenario = scenario_of(node);
    for (int step = node->first, first; step < scenario->steps; step++) {
        if (scenario->joins_count > 0) invite_all(node, step);
        if (!make_step(node, first = step)) return NODE_IS_KILLED;
        node->result->last = now(node);
        step = steps_made(node) - 1;
        if (!check_passed(node, first, step)) return NODE_IS_KILLED;
        int leaves = node->comes ? SCENARIO_NEVER : scenario->leaves[node->rank];
        if (leaves <= step && leaves != SCENARIO_NEVER) return NODE_LEAVES;
        if (!make_call(node, scenario->calls[step], step)) return NODE_IS_KILLED;
        node->result->last = now(node);
    }
    if (!make_call(node, SCENARIO_AVERAGE, scenario->steps)) return NODE_IS_KILLED;
    return compare_views(node) ? NODE_ENDS : NODE_IS_KILLED;
}

static bool set_up(node_t *node) {
    const scenario_t *scenario = scenario_of(node);
    float initial[SCENARIO_LENGTH];
    for (size_t i = 0; i < SCENARIO_LENGTH; i++)
        initial[i] = scenario_initial(scenario, node->rank, i);
    sgp_optimizer_options_t plain = {.count = SCENARIO_LENGTH};
    /* One after the other from here on. */
    if (!sleep_for(node, 1 + (uint64_t)node->rank)) return false;
    sgp_status_t status = sgp_group_found(node->transport, TIME_LIMIT_MS, &node->group);
    if (status == SGP_OK && scenario->joins_count > 0)
        status = sgp_newcomers_accept(node->group,
                                      &(sgp_newcomers_t){.blob = "blob", .blob_bytes = 4}, false);
    if (status == SGP_OK)
        status = sgp_mixer_create(node->group, &scenario->options, initial, &node->mixer);
    node->result->began = status == SGP_OK;
    if (status == SGP_OK) status = sgp_optimizer_create(&plain, &node->optimizer);
    return ended_well(node, "set-up", -1, status);
}

static void close_result(node_t *node, node_end_t end) {
    result_t *result = node->result;
    result->ended = end == NODE_ENDS;
    result->in_danger = scenario_kills(scenario_of(node), node->rank);
    if (end == NODE_IS_KILLED) return;
    result->interruptions = sgp_late_interruptions(node->mixer);
    result->last = now(node);
    results_add(&result->hash, sgp_mixer_parameters(node->mixer), SCENARIO_LENGTH * sizeof(float));
    if (result->last > scenario_of(node)->limit_ns)
        results_fail(node->run, "node %d ended after %.3f ms of virtual time, the limit is %.3f ms",
                     node->rank, (double)result->last / SCENARIO_MS,
                     (double)scenario_of(node)->limit_ns / SCENARIO_MS);
}

/* Their connection to this node ends. */
static void part_from_guests(const node_t *node) {
    for (int j = 0, none = 0; j < scenario_of(node)->joins_count && !node->comes; j++, none = 0)
        if (scenario_of(node)->joins[j].sponsor == node->rank)
            atomic_compare_exchange_strong(&node->newcomers[j].answered, &none, -1);
}

static void be_node(node_t *node, bool ready) {
    node_end_t end = ready ? live(node) : NODE_IS_KILLED;
    part_from_guests(node);
    close_result(node, end);
    static const char *const words[] = {"ends", "leaves", "is gone"};
    if (node->trace) fprintf(node->trace, "            node %d %s\n", node->rank, words[end]);
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
    if (!node->group) sgp_transport_destroy(node->transport); /* its sponsor never admitted it */
    else if (end == NODE_IS_KILLED) sgp_group_abort(node->group);
    else sgp_group_leave(node->group);
}

static void *node_main(void *argument) {
    node_t *node = argument;
    sgp_log_set_rank(node->rank);
    node->transport->elastic = true;
    node->transport->takes_turns = scenario_of(node)->seed % 2;
    books_watch(node->books, node->transport);
    be_node(node, set_up(node));
    return NULL;
}

static void *newcomer_main(void *argument) {
    node_t *node = argument;
    sgp_log_set_rank(node->rank);
    books_watch(node->books, node->transport);
    be_node(node, come_in(node));
    return NULL;
}

/* ---- the run ---- */

static void run_nodes(node_t *nodes, int count) {
    pthread_t threads[SCENARIO_SEATS];
    for (int r = 0; r < count; r++)
        if (pthread_create(&threads[r], NULL, node_main, &nodes[r]) != 0) abort();
    for (int r = 0; r < count; r++) pthread_join(threads[r], NULL);
    for (int j = 0; j < SCENARIO_JOINS; j++)
        if (nodes->newcomers[j].started) pthread_join(nodes->newcomers[j].thread, NULL);
}

static void set_node(node_t *node, results_t *run, int member, books_t *books, FILE *trace,
                     sgp_loopback_t *hub) {
    bool comes = member >= run->scenario->nodes;
    run->of[member].seat = member;
    *node = (node_t){.run = run,
                     .result = &run->of[member],
                     .books = books,
                     .trace = trace,
                     .hub = hub,
                     .rank = member,
                     .comes = comes,
                     .transport = comes ? NULL : sgp_loopback_transport(hub, member)};
}

void simulation_run_scenario(const scenario_t *scenario, FILE *trace, outcome_t *outcome) {
    static node_t nodes[SCENARIO_NODES], newcomers[SCENARIO_JOINS];
    static results_t run;
    sgp_loopback_t *hub = NULL;
    results_begin(&run, scenario);
    books_t *books = books_create(scenario, trace);
    if (sgp_loopback_create(&scenario->loopback, &hub) != SGP_OK) abort();
    for (int r = 0; r < scenario->nodes; r++)
        set_node(&nodes[r], &run, r, books, trace, hub), nodes[r].newcomers = newcomers;
    for (int j = 0; j < SCENARIO_JOINS; j++)
        set_node(&newcomers[j], &run, scenario->nodes + j, books, trace, hub);
    scenario_find_hull(scenario, &nodes[0].hull);
    for (int r = 1; r < scenario->nodes; r++) nodes[r].hull = nodes[0].hull;
    for (int j = 0; j < SCENARIO_JOINS; j++) newcomers[j].hull = nodes[0].hull;
    run_nodes(nodes, scenario->nodes);
    if (books_breach(books)) results_fail(&run, "%s", books_breach(books));
    results_check(&run);
    *outcome = (outcome_t){
        .hash = results_hash(&run), .torn = books_torn(books), .returned = books_returned(books)};
    memcpy(outcome->failure, run.failure, sizeof outcome->failure);
    for (int r = 0; r < scenario_seats(scenario); r++) {
        outcome->lost += run.of[r].began && !run.of[r].ended;
        outcome->joined += r >= scenario->nodes && run.of[r].began;
        outcome->steps += run.of[r].steps;
        outcome->calls += run.of[r].calls_count - run.of[r].first_call;
    }
    sgp_loopback_destroy(hub);
    books_destroy(books);
    results_end(&run);
}

bool simulation_can_use(sgp_algorithm_t algorithm) {
    sgp_mixer_options_t options = {.count = SCENARIO_LENGTH, .algorithm = algorithm};
    options.graph.size = 1;
    sgp_loopback_t *hub = NULL;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    if (sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub) != SGP_OK) return false;
    sgp_transport_t *transport = sgp_loopback_transport(hub, 0);
    transport->elastic = true;
    options.graph.kind = sgp_algorithm_default_graph(algorithm);
    bool can = sgp_group_found(transport, TIME_LIMIT_MS, &group) == SGP_OK &&
               sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK;
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
    return can;
}
