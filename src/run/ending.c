/* SPDX-License-Identifier: Apache-2.0 */
#include "run/ending.h"

#include "files/json.h"
#include "run/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below, lr / w is so much above lr that the weight is the likelier cause of a divergence. */
#define SMALL_WEIGHT 0.25

static halt_ending_t own_ending(const run_t *run, sgp_status_t status) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(run->replica.mixer, &statistics);
    return (halt_ending_t){.status = status,
                           .cause = run->cause,
                           .step = run->step,
                           .lr = schedule_rate(&run->replica.schedule, run->step),
                           .weight = statistics.weight};
}

/* Whether there is something to tell, and somebody to listen. Not after a loss, which each of them
 * sees, nor where one did not answer. When the nodes have agreed to end all know it, and a word about
 * it would cut short the last collective call of the slower ones. */
static bool talks(sgp_status_t status) {
    return status != SGP_ERR_PEER_LOST && status != SGP_ERR_TIMEOUT &&
           status != SGP_ERR_INTERRUPTED;
}

/* The first cause: the earliest step, and the lowest rank in it. Who was ended by another has none. */
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

static const char *const causes[] = {[TRAIN_NO_CAUSE] = "a number",
                                     [TRAIN_LOSS] = "the loss",
                                     [TRAIN_GRADIENT] = "the gradient",
                                     [TRAIN_PARAMETERS] = "a parameter"};

static void say_divergence(const run_t *run, const halt_ending_t *endings, int first, char *text,
                           size_t room) {
    const sgp_transport_t *transport = sgp_group_transport(run->group);
    const halt_ending_t *cause = &endings[first];
    int smallest = smallest_weight(endings, run->size);
    double weight = endings[smallest].weight;
    sgp_rank_name_t name, light;
    int length = snprintf(text, room,
                          "%s of %s is not finite in step %" PRIu64 " of %" PRIu64 ", at lr %.4g",
                          causes[cause->cause], sgp_transport_name(transport, first, &name),
                          cause->step + 1, run->replica.schedule.steps, cause->lr);
    if (weight < SMALL_WEIGHT)
        snprintf(text + length, room - (size_t)length,
                 "; the push-sum weight of %s is %.2g, and lr / w too high: try another --graph",
                 sgp_transport_name(transport, smallest, &light), weight);
    else
        snprintf(text + length, room - (size_t)length,
                 ": try a lower --lr, or more --warmup-epochs");
}

static void say_failure(const run_t *run, sgp_status_t status, int first, char *text, size_t room) {
    sgp_rank_name_t name;
    char why[128];
    sgp_group_t *seen = sgp_group_lost_peer(run->nodes) >= 0 ? run->nodes : run->group;
    int lost = sgp_group_lost_peer(seen);
    const sgp_transport_t *transport = sgp_group_transport(run->group);
    if (status == SGP_ERR_PEER_LOST && lost >= 0)
        snprintf(text, room, "%s is lost (%s)",
                 sgp_transport_name(sgp_group_transport(seen), lost, &name),
                 sgp_fates_why(sgp_group_transport(seen)->fates, lost, why, sizeof why));
    else if (first >= 0)
        snprintf(text, room, "%s: %s", sgp_transport_name(transport, first, &name),
                 sgp_status_message(status));
    else snprintf(text, room, "%s", sgp_status_message(status));
}

static void describe(const run_t *run, sgp_status_t status, const halt_ending_t *endings, int first,
                     train_summary_t *summary) {
    char *text = summary->reason;
    size_t room = sizeof summary->reason;
    summary->signal = run->signal;
    if (status == SGP_ERR_NOT_FINITE) {
        summary->state = TRAIN_DIVERGED;
        say_divergence(run, endings, first, text, room);
    } else if (status == SGP_ERR_INTERRUPTED) {
        summary->state = TRAIN_INTERRUPTED;
        snprintf(text, room, "interrupted after step %" PRIu64 " of %" PRIu64, run->step,
                 run->replica.schedule.steps);
    } else {
        summary->state = TRAIN_FAILED;
        say_failure(run, status, first, text, room);
    }
}

/* What node 0 knows alone; the rest is NAN. */
static void summarise(const run_t *run, train_summary_t *summary) {
    double samples = (double)run->replica.dataset->train.count;
    double epochs = (double)run->step / (double)run->replica.steps_per_epoch;
    train_summary_early(summary, TRAIN_FAILED);
    summary->parameters = run->replica.parameters;
    summary->steps = run->step;
    summary->checkpoint = run->saved;
    summary->seconds = run->seconds;
    summary->samples_per_second = samples * epochs / run->seconds;
    summary->train_loss = run->train_loss;
    summary->test_accuracy = run->test_accuracy;
    summary->average_model_accuracy = run->average_model_accuracy;
    summary->consensus = run->consensus;
    memcpy(summary->run_id, run->id, sizeof run->id);
}

sgp_status_t ending_share(run_t *run, sgp_status_t status, train_summary_t *summary) {
    halt_ending_t *endings = calloc((size_t)run->size, sizeof *endings);
    int first = -1;
    if (endings && talks(status)) {
        halt_ending_t mine = own_ending(run, status);
        sgp_mixer_destroy(run->replica.mixer); /* its agent has the inbox */
        run->replica.mixer = NULL;
        halt_end(&run->halt, &mine, endings);
        first = first_cause(endings, run->size);
        if (first >= 0) status = (sgp_status_t)endings[first].status;
    }
    summarise(run, summary);
    describe(run, status, endings, first, summary);
    free(endings);
    return status;
}

void ending_write(const run_t *run, const train_summary_t *summary) {
    if (!run_writes(run) || access(run->options->output, W_OK) != 0) return;
    files_json_write(run->options->output, "summary.json",
                     train_summary_json(run->options, summary));
}
