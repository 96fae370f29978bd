/* SPDX-License-Identifier: Apache-2.0 */
#include "run/ending.h"

#include "run/run_pause.h"
#include "run/run_result.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Below this push-sum weight w, lr / w is so far above lr that w is the likelier cause of a
 * divergence. */
#define SMALL_WEIGHT 0.25

static halt_ending_t own_ending(const run_t *run, sgp_status_t status) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(run->replica.mixer, &statistics);
    return (halt_ending_t){.status = status,
                           .cause = run->cause,
                           .step = run->step,
                           .lr = replica_rate(&run->replica, run->step),
                           .weight = statistics.weight};
}

/* Whether the nodes exchange their endings. If a node is lost or has not answered in time, it may
 * not answer now. After an agreed interruption all nodes know the cause, and an ending would abort
 * the last collective call of a slower node. */
static bool is_exchanged(sgp_status_t status) {
    return status != SGP_ERR_PEER_LOST && status != SGP_ERR_TIMEOUT &&
           status != SGP_ERR_INTERRUPTED;
}

/* The node that failed first: in the earliest step, and the lowest rank in it. -1: none failed on
 * its own. */
static int first_cause(const halt_ending_t *endings, int size) {
    int first = -1;
    for (int r = 0; r < size; r++) {
        bool own = endings[r].status != SGP_ERR_ENDED && endings[r].status != SGP_ERR_PEER_LOST;
        if (own && (first < 0 || endings[r].step < endings[first].step)) first = r;
    }
    return first;
}

static int smallest_weight(const halt_ending_t *endings, int size) {
    int smallest = 0;
    for (int r = 0; r < size; r++)
        if (endings[r].weight > 0 && endings[r].weight < endings[smallest].weight) smallest = r;
    return smallest;
}

static const char *const causes[] = {[RUN_CAUSE_NONE] = "a number",
                                     [RUN_CAUSE_LOSS] = "the loss",
                                     [RUN_CAUSE_GRADIENT] = "the gradient",
                                     [RUN_CAUSE_PARAMETERS] = "a parameter"};

static void describe_divergence(const run_t *run, const halt_ending_t *endings, int first,
                                char *text, size_t room) {
    const sgp_transport_t *transport = sgp_group_transport(run->group);
    const halt_ending_t *cause = &endings[first];
    int smallest = smallest_weight(endings, run->size);
    double weight = endings[smallest].weight;
    sgp_rank_name_t name, light;
    int length = snprintf(text, room,
                          "%s of %s is not finite in step %" PRIu64 " of %" PRIu64 ", at lr %.4g",
                          causes[cause->cause], sgp_transport_name(transport, first, &name),
                          cause->step + 1, epochs_total(&run->replica.epochs), cause->lr);
    if (weight < SMALL_WEIGHT)
        snprintf(text + length, room - (size_t)length,
                 "; the push-sum weight of %s is %.2g, so lr / w is too high: try another --graph",
                 sgp_transport_name(transport, smallest, &light), weight);
    else
        snprintf(text + length, room - (size_t)length,
                 ": try a lower --lr, or more --warmup-epochs");
}

static void describe_failure(const run_t *run, sgp_status_t status, int first, char *text,
                             size_t room) {
    sgp_rank_name_t name;
    char why[128];
    sgp_group_t *seen = sgp_group_lost_peer(run->nodes) >= 0 ? run->nodes : run->group;
    int lost = sgp_group_lost_peer(seen);
    const sgp_transport_t *transport = sgp_group_transport(run->group);
    if (status == SGP_ERR_PEER_LOST && run_pause_reason(run, text, room)) return;
    if (status == SGP_ERR_PEER_LOST && run->goes_on)
        snprintf(text, room, "the others go on without this node, which was silent for too long");
    else if (status == SGP_ERR_PEER_LOST && lost >= 0)
        snprintf(text, room, "%s is lost (%s)",
                 sgp_transport_name(sgp_group_transport(seen), lost, &name),
                 sgp_fates_why(sgp_group_transport(seen)->fates, lost, why, sizeof why));
    else if (first >= 0)
        snprintf(text, room, "%s: %s", sgp_transport_name(transport, first, &name),
                 sgp_status_message(status));
    else snprintf(text, room, "%s", sgp_status_message(status));
}

/* They are gone, or one that was told to leave would be. */
static void describe_too_few(const run_t *run, char *text, size_t room) {
    int least = run->options->min_nodes;
    int nodes = run_losses_left(&run->losses) / run->options->workers;
    if (nodes < least)
        snprintf(text, room,
                 "%d of %d nodes left, fewer than --min-nodes %d: the run ends after step %" PRIu64
                 " of %" PRIu64,
                 nodes, run->options->nodes, least, run->step, epochs_total(&run->replica.epochs));
    else
        snprintf(text, room,
                 "a node is told to leave, and --min-nodes is %d: the run ends after step %" PRIu64
                 " of %" PRIu64,
                 least, run->step, epochs_total(&run->replica.epochs));
}

static void describe(const run_t *run, sgp_status_t status, const halt_ending_t *endings, int first,
                     train_summary_t *summary) {
    char *text = summary->reason;
    size_t room = sizeof summary->reason;
    summary->signal = run->signal;
    summary->too_few = run->too_few;
    if (status == SGP_ERR_INTERRUPTED && !run->signal) summary->left = run->leaves;
    if (status == SGP_ERR_NOT_FINITE) {
        summary->state = TRAIN_DIVERGED;
        if (first >= 0) describe_divergence(run, endings, first, text, room);
        else describe_failure(run, status, first, text, room); /* no memory for endings */
    } else if (status == SGP_ERR_INTERRUPTED) {
        summary->state = TRAIN_INTERRUPTED;
        snprintf(text, room, "%s after step %" PRIu64 " of %" PRIu64,
                 summary->left ? "left the run" : "interrupted", run->step,
                 epochs_total(&run->replica.epochs));
    } else if (run->too_few) {
        summary->state = TRAIN_FAILED;
        describe_too_few(run, text, room);
    } else {
        summary->state = TRAIN_FAILED;
        describe_failure(run, status, first, text, room);
    }
}

sgp_status_t ending_share(run_t *run, sgp_status_t status, train_summary_t *summary) {
    halt_ending_t *endings = calloc((size_t)run->size, sizeof *endings);
    int first = -1;
    if (endings && is_exchanged(status)) {
        halt_ending_t mine = own_ending(run, status);
        sgp_mixer_destroy(run->replica.mixer); /* and its agent, which uses the inbox */
        run->replica.mixer = NULL;
        halt_exchange_endings(&run->halt, &mine, endings);
        first = first_cause(endings, run->size);
        if (first >= 0) status = (sgp_status_t)endings[first].status;
    }
    run_result_early(run, summary);
    describe(run, status, endings, first, summary);
    free(endings);
    return status;
}
