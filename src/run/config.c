/* SPDX-License-Identifier: Apache-2.0 */
#include "run/config.h"

#include "run/run_id.h"
#include "files/json.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* A continued run needs the same bits. What a person types has 15 digits or less; what a script has
 * computed may have 17. */
static json_t *exact_json(double value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) == value) return json_real(value);
    snprintf(digits, sizeof digits, "%.17g", value);
    return json_string(digits);
}

static json_t *slow_json(const train_options_t *options) {
    if (options->slow_rank < 0) return json_null();
    return json_pack("{s:i, s:f}", "rank", options->slow_rank, "factor", options->slow_factor);
}

json_t *config_peers_json(const train_options_t *options) {
    char text[TRAIN_STAGES_TEXT];
    if (options->peers.count == 1) return json_integer(options->peers.stage[0].value);
    return json_string(train_stages_text(&options->peers, NULL, text));
}

json_t *config_overlap_json(int overlap) {
    return overlap == SGP_OVERLAP_ASYNC ? json_string("async") : json_integer(overlap);
}

static json_t *mixing_json(const train_options_t *o) {
    char algorithms[TRAIN_STAGES_TEXT];
    return json_pack("{s:s, s:s?, s:o, s:o?, s:b, s:i, s:o, s:i, s:b}", "algorithm",
                     train_algorithms_text(&o->algorithm, algorithms), "graph",
                     o->graph == TRAIN_BY_ALGORITHM ? NULL
                                                    : sgp_graph_name((sgp_graph_kind_t)o->graph),
                     "peers", config_peers_json(o), "overlap",
                     o->overlap == TRAIN_BY_ALGORITHM ? NULL : config_overlap_json(o->overlap),
                     "biased", o->biased, "local_steps", o->local_steps, "slow_momentum",
                     o->slow_every > 0 ? exact_json(o->slow_momentum) : json_null(), "slow_every",
                     o->slow_every, "slow_alone", o->slow_alone);
}

/* Names are those of the command line, with _ for -. */
json_t *config_options_json(const train_options_t *o) {
    json_t *options = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:s, s:s, s:o, s:b, s:o, s:b, s:o, s:I, s:s, "
        "s:s, s:s, s:s?, s:I, s:o, s:b, s:b, s:b, s:o, s:o}",
        "model", o->model, "data", o->data, "nodes", o->nodes, "workers_per_node", o->workers,
        "epochs", o->epochs, "batch_size", o->batch_size, "lr", exact_json(o->lr), "warmup_epochs",
        o->warmup_epochs < 0 ? json_null() : exact_json(o->warmup_epochs), "lr_schedule",
        o->lr_schedule, "optimizer", o->optimizer, "momentum", exact_json(o->momentum), "nesterov",
        o->nesterov, "weight_decay", exact_json(o->weight_decay), "augment", o->augment, "seed",
        files_json_u64(o->seed), "limit_samples", (json_int_t)o->limit_samples, "transport",
        o->transport, "allreduce", o->allreduce, "encoding", sgp_encoding_name(o->encoding),
        "output", o->output, "checkpoint_every", (json_int_t)o->checkpoint_every,
        "checkpoint_minutes", exact_json(o->checkpoint_minutes), "keep_going", o->keep_going,
        "tensorboard", o->tensorboard, "trace", o->trace, "slow_node", slow_json(o), "compute_ms",
        exact_json(o->compute_ms));
    json_t *mixing = mixing_json(o);
    int failed = json_object_update(options, mixing);
    json_decref(mixing);
    if (!failed) return options;
    json_decref(options);
    return NULL;
}

static json_t *data_json(const dataset_t *dataset) {
    char checksum[17];
    json_t *mean = json_array(), *deviation = json_array();
    snprintf(checksum, sizeof checksum, "%016" PRIx64, dataset->checksum);
    for (int c = 0; c < dataset->shape.channels; c++) {
        json_array_append_new(mean, files_json_number((double)dataset->mean[c]));
        json_array_append_new(deviation, files_json_number((double)dataset->deviation[c]));
    }
    return json_pack("{s:I, s:I, s:i, s:i, s:i, s:i, s:o, s:o, s:s}", "train_samples",
                     (json_int_t)dataset->train.count, "test_samples",
                     (json_int_t)dataset->test.count, "height", dataset->shape.height, "width",
                     dataset->shape.width, "channels", dataset->shape.channels, "classes",
                     dataset->shape.classes, "mean", mean, "deviation", deviation, "checksum",
                     checksum);
}

static json_t *derived_json(const replica_t *replica) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "parameters",
                     (json_int_t)replica->parameters, "buffers", (json_int_t)replica->buffers,
                     "model_memory_bytes", (json_int_t)model_memory_bytes(replica->model),
                     "steps_per_epoch", (json_int_t)replica->steps_per_epoch, "steps",
                     (json_int_t)replica->schedule.steps, "warmup_steps",
                     files_json_number(replica->schedule.warmup), "warmup_lr",
                     files_json_number(replica->schedule.start), "scaled_lr",
                     files_json_number(replica->schedule.scaled));
}

static json_t *versions_json(void) {
    struct utsname system;
    if (uname(&system) != 0) return json_null();
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "sgp", SGP_VERSION, "compiler", __VERSION__,
                     "jansson", jansson_version_str(), "system", system.sysname, "kernel",
                     system.release, "machine", system.machine);
}

json_t *config_json(const train_options_t *options, const replica_t *replica, const char *id) {
    files_json_begin();
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", RUN_ID_KEY, id, "options",
                     config_options_json(options), "data", data_json(replica->dataset), "derived",
                     derived_json(replica), "versions", versions_json());
}

void config_agreement(const train_options_t *o, const replica_t *replica, agreement_t *agreement) {
    const dataset_shape_t *shape = &replica->dataset->shape;
    agreement_init(agreement);
    agreement_add(agreement, "version", "%s", SGP_VERSION);
    agreement_add(agreement, "nodes", "%d", o->nodes);
    agreement_add(agreement, "model", "%s", o->model);
    agreement_add(agreement, "parameters", "%zu", replica->parameters);
    agreement_add(agreement, "limit-samples", "%" PRId64, o->limit_samples);
    agreement_add(agreement, "training samples", "%u", shape->train_count);
    agreement_add(agreement, "test samples", "%u", shape->test_count);
    agreement_add(agreement, "data checksum", "%016" PRIx64, replica->dataset->checksum);
    char text[TRAIN_STAGES_TEXT];
    agreement_add(agreement, "workers-per-node", "%d", o->workers);
    agreement_add(agreement, "algorithm", "%s", train_algorithms_text(&o->algorithm, text));
    agreement_add(agreement, "graph", "%s", sgp_graph_name(train_mixer_options(o, 0).graph.kind));
    agreement_add(agreement, "peers", "%s", train_stages_text(&o->peers, NULL, text));
    agreement_add(agreement, "overlap", "%d", o->overlap);
    agreement_add(agreement, "biased", "%s", o->biased ? "on" : "off");
    agreement_add(agreement, "encoding", "%s", sgp_encoding_name(o->encoding));
    agreement_add(agreement, "local-steps", "%d", o->local_steps);
    agreement_add(agreement, "slow-momentum", "%.15g", o->slow_momentum);
    agreement_add(agreement, "slow-every", "%d", o->slow_every);
    agreement_add(agreement, "slow-alone", "%s", o->slow_alone ? "on" : "off");
    agreement_add(agreement, "checkpoint-every", "%" PRId64, o->checkpoint_every);
    agreement_add(agreement, "keep-going", "%s", o->keep_going ? "on" : "off");
    agreement_add(agreement, "allreduce", "%s", o->allreduce);
    agreement_add(agreement, "epochs", "%d", o->epochs);
    agreement_add(agreement, "batch-size", "%d", o->batch_size);
    agreement_add(agreement, "lr", "%.15g", o->lr);
    agreement_add(agreement, "warmup-epochs", "%.15g", o->warmup_epochs);
    agreement_add(agreement, "lr-schedule", "%s", o->lr_schedule);
    agreement_add(agreement, "optimizer", "%s", o->optimizer);
    agreement_add(agreement, "momentum", "%.15g", o->momentum);
    agreement_add(agreement, "nesterov", "%s", o->nesterov ? "on" : "off");
    agreement_add(agreement, "weight-decay", "%.15g", o->weight_decay);
    agreement_add(agreement, "augment", "%s", o->augment ? "on" : "off");
    agreement_add(agreement, "seed", "%" PRIu64, o->seed);
    agreement_add(agreement, "compute-ms", "%.15g", o->compute_ms);
    agreement_add(agreement, "trace", "%s", o->trace ? "on" : "off");
    agreement_add(agreement, "output", "%s", o->output ? "written" : "none");
    agreement_add(agreement, "resume", "%s", o->resume ? "on" : "off");
}

static bool may_change(const char *line) {
    static const char *const names[] = {
        "version=", "checkpoint-every=", "keep-going=", "trace=", "output=", "resume="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0) return true;
    return false;
}

void config_fingerprint(const train_options_t *options, const replica_t *replica,
                        char text[CONTENT_HASH_TEXT]) {
    agreement_t agreement;
    char kept[AGREEMENT_BYTES];
    size_t length = 0;
    config_agreement(options, replica, &agreement);
    for (const char *line = agreement.text; *line;) {
        size_t bytes = strcspn(line, "\n");
        bytes += line[bytes] == '\n';
        if (!may_change(line)) {
            memcpy(kept + length, line, bytes);
            length += bytes;
        }
        line += bytes;
    }
    content_hash_of(kept, length, text);
}
