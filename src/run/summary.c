/* SPDX-License-Identifier: Apache-2.0 */
#include "run/summary.h"

#include "run/config.h"
#include "run/run_id.h"
#include "files/json.h"
#include "run/mixing_plan.h"

#include <stdlib.h>

/* Takes both (NULL: out of memory), and leaves NULL in *object on failure. */
static void add(json_t **object, const char *name, json_t *value) {
    if (*object && json_object_set_new(*object, name, value) == 0) return;
    if (!*object) json_decref(value);
    json_decref(*object);
    *object = NULL;
}

static void add_options(json_t **object, const train_options_t *options) {
    char algorithms[TRAIN_STAGES_TEXT], split[DIVISION_TEXT];
    sgp_mixer_options_t last = train_mixer_options(options, (uint64_t)options->epochs - 1);
    add(object, "algorithm", json_string(train_algorithms_text(&options->algorithm, algorithms)));
    add(object, "graph", json_string(sgp_graph_name(last.graph.kind)));
    add(object, "peers", config_peers_json(options));
    add(object, "overlap", config_overlap_json(last.overlap));
    add(object, "rounds", json_integer(train_rounds(options)));
    add(object, "nodes", json_integer(options->nodes));
    add(object, "workers_per_node", json_integer(options->workers));
    add(object, "model", json_string(options->model));
    add(object, "data", json_string(options->data));
    add(object, "batch_size", json_integer(options->batch_size));
    add(object, "seed", files_json_u64(options->seed));
    add(object, "transport", json_string(options->transport));
    add(object, "encoding", json_string(sgp_encoding_name(options->encoding)));
    add(object, "split", json_string(division_print(&options->split, split)));
    add(object, "private_data", json_boolean(options->private_data));
    add(object, "clip_norm", options->clip_norm > 0 ? json_real(options->clip_norm) : json_null());
}

static json_t *messages_json(const train_summary_t *summary) {
    json_t *object = json_object();
    add(&object, "sent", files_json_u64(summary->messages.sent));
    add(&object, "received", files_json_u64(summary->messages.received));
    add(&object, "late", files_json_u64(summary->messages.late));
    add(&object, "refused", files_json_u64(summary->messages.refused));
    add(&object, "resent", files_json_u64(summary->messages.resent));
    add(&object, "reabsorbed", files_json_u64(summary->messages.reabsorbed));
    if (summary->messages.staleness > 0) /* of a parameter server alone */
        add(&object, "staleness", files_json_u64(summary->messages.staleness));
    return object;
}

static json_t *triple(const char *const names[3], double first, double second, double third) {
    return json_pack("{s:o, s:o, s:o}", names[0], files_json_number(first), names[1],
                     files_json_number(second), names[2], files_json_number(third));
}

json_t *summary_losses_json(const train_loss_t *losses, int count) {
    json_t *array = json_array();
    for (int i = 0; i < count && array; i++) {
        json_t *loss =
            json_pack("{s:i, s:o, s:s, s:o, s:b}", "node", losses[i].node, "step",
                      files_json_u64(losses[i].step), "reason", losses[i].reason, "seconds",
                      files_json_number(losses[i].seconds), "left", (int)losses[i].left);
        if (loss && json_array_append_new(array, loss) == 0) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *joins_json(const train_join_t *joins, int count) {
    json_t *array = json_array();
    for (int i = 0; i < count && array; i++) {
        json_t *join = json_pack("{s:i, s:o, s:b}", "node", joins[i].node, "step",
                                 files_json_u64(joins[i].step), "rejoined", (int)joins[i].rejoined);
        if (join && json_array_append_new(array, join) == 0) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

json_t *train_summary_json(const train_options_t *options, const train_summary_t *summary) {
    static const char *const quantiles[3] = {"mean", "p50", "p99"};
    static const char *const spread[3] = {"mean", "min", "max"};
    static const char *const states[] = {[TRAIN_FINISHED] = "finished",
                                         [TRAIN_DIVERGED] = "diverged",
                                         [TRAIN_INTERRUPTED] = "interrupted",
                                         [TRAIN_FAILED] = "failed"};
    files_json_begin();
    json_t *object = json_object();
    add(&object, "status", json_string(states[summary->state]));
    add(&object, "reason", summary->reason[0] ? json_string(summary->reason) : json_null());
    add(&object, RUN_ID_KEY, summary->run_id[0] ? json_string(summary->run_id) : json_null());
    add_options(&object, options);
    add(&object, "parameters", files_json_u64(summary->parameters));
    add(&object, "epochs", json_integer(options->epochs));
    add(&object, "steps", files_json_u64(summary->steps));
    add(&object, "seconds", files_json_number(summary->seconds));
    add(&object, "samples_per_second", files_json_number(summary->samples_per_second));
    add(&object, "step_ms",
        triple(quantiles, summary->step_ms.mean, summary->step_ms.p50, summary->step_ms.p99));
    add(&object, "wait_ms", files_json_number(summary->wait_ms));
    add(&object, "train_loss", files_json_number(summary->train_loss));
    add(&object, "test_accuracy",
        triple(spread, summary->test_accuracy.mean, summary->test_accuracy.min,
               summary->test_accuracy.max));
    add(&object, "average_model_accuracy", files_json_number(summary->average_model_accuracy));
    add(&object, "consensus_distance", files_json_number(summary->consensus.distance));
    add(&object, "mass",
        json_pack("{s:o, s:o}", "w_total", files_json_number(summary->consensus.w_total), "drift",
                  files_json_number(summary->consensus.drift)));
    bool finished = summary->state == TRAIN_FINISHED;
    add(&object, "parameters_hash", finished ? json_string(summary->parameters_hash) : json_null());
    add(&object, "messages", finished ? messages_json(summary) : json_null());
    add(&object, "test_top5_accuracy",
        triple(spread, summary->test_accuracy5.mean, summary->test_accuracy5.min,
               summary->test_accuracy5.max));
    add(&object, "average_model_top5_accuracy",
        files_json_number(summary->average_model_accuracy5));
    add(&object, "bad_pictures",
        json_pack("{s:o, s:o}", "replaced", files_json_u64(summary->bad_pictures.replaced),
                  "left_out", files_json_u64(summary->bad_pictures.left_out)));
    if (summary->resumed.nodes)
        add(&object, CONFIG_RESUMED, config_resumed_json(&summary->resumed));
    add(&object, "losses", summary_losses_json(summary->losses, summary->loss_count));
    add(&object, "joins", joins_json(summary->joins, summary->join_count));
    add(&object, "samples", json_pack("{s:o}", "missed", files_json_u64(summary->samples_missed)));
    return object;
}

void train_summary_release(train_summary_t *summary) {
    free(summary->losses);
    free(summary->joins);
    summary->losses = NULL;
    summary->joins = NULL;
    summary->loss_count = summary->join_count = 0;
}

void train_summary_early(train_summary_t *summary, train_state_t state) {
    *summary = (train_summary_t){.state = state,
                                 .seconds = NAN,
                                 .samples_per_second = NAN,
                                 .step_ms = {NAN, NAN, NAN},
                                 .wait_ms = NAN,
                                 .train_loss = NAN,
                                 .test_accuracy = {NAN, NAN, NAN},
                                 .average_model_accuracy = NAN,
                                 .test_accuracy5 = {NAN, NAN, NAN},
                                 .average_model_accuracy5 = NAN,
                                 .consensus = {NAN, NAN, NAN}};
}
