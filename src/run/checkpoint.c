/* SPDX-License-Identifier: Apache-2.0 */
#include "run/checkpoint.h"

#include "base/clock.h"
#include "base/logging.h"
#include "files/model_file.h"
#include "mixing/kernels.h"
#include "mixing/mixer_internal.h"
#include "optimizer/optimizer_internal.h"
#include "run/agreement.h"
#include "run/checkpoint_folder.h"
#include "run/checkpoint_label.h"
#include "run/run_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the contents ---- */

/* Everything that is saved: pointers to where it lies. */
typedef struct contents {
    sgp_state_t state;
    uint64_t *data; /* of a divided epoch, owned; NULL: none */
    char names[SGP_STATE_ITEMS][CHECKPOINT_ITEM_NAME];
    int64_t shapes[SGP_STATE_ITEMS];
    size_t count;
    safetensors_tensor_t *tensors; /* (count) */
} contents_t;

static void add_doubles(sgp_state_t *state, const char *name, void *data, size_t bytes) {
    sgp_state_add(state, name, SGP_STATE_FLOAT64, data, bytes / sizeof(double));
}

/* The run's own state; a structure of doubles is written as an array of them. */
static void list_run(run_t *run, sgp_state_t *state) {
    sgp_state_add(state, "run.step", SGP_STATE_UINT64, &run->step, 1);
    add_doubles(state, "run.seconds", &run->seconds, sizeof run->seconds);
    add_doubles(state, "run.before", &run->seconds_before, sizeof run->seconds_before);
    add_doubles(state, "run.all_seconds", &run->all_seconds, sizeof run->all_seconds);
    add_doubles(state, "run.epoch", &run->epoch_sums, sizeof run->epoch_sums);
    add_doubles(state, "run.pause", &run->epoch_end_seconds, sizeof run->epoch_end_seconds);
    add_doubles(state, "run.train_loss", &run->train_loss, sizeof run->train_loss);
    add_doubles(state, "run.test_accuracy", &run->test_accuracy, sizeof run->test_accuracy);
    add_doubles(state, "run.average_model_accuracy", &run->average_model_accuracy,
                sizeof run->average_model_accuracy);
    add_doubles(state, "run.consensus", &run->consensus, sizeof run->consensus);
    add_doubles(state, "run.test_accuracy5", &run->test_accuracy5, sizeof run->test_accuracy5);
    add_doubles(state, "run.average_model_accuracy5", &run->average_model_accuracy5,
                sizeof run->average_model_accuracy5);
    if (feed_shape(run->replica.feed)->pictures) {
        sgp_state_add(state, "run.bad", SGP_STATE_UINT64, &run->bad.replaced, 2);
        sgp_state_add(state, "run.bad_before", SGP_STATE_UINT64, &run->bad_before.replaced, 2);
    }
    if (run->options->fixed_rate)
        sgp_state_add(state, "run.rate_nodes", SGP_STATE_UINT64, &run->data.rate_nodes, 1);
    if (run->options->split.kind != DIVISION_IID)
        sgp_state_add(state, "run.split_nodes", SGP_STATE_UINT64, &run->data.split_nodes, 1);
    metrics_state(&run->metrics, state);
    sgp_state_add(state, "run.times", SGP_STATE_FLOAT32, run->times.ms, run->times.count);
}

void checkpoint_state(run_t *run, sgp_state_t *state) {
    list_run(run, state);
    sgp_optimizer_state(run->replica.optimizer, state);
    sgp_mixer_state(run->replica.mixer, state);
}

safetensors_dtype_t checkpoint_item_dtype(const sgp_state_item_t *item) {
    static const safetensors_dtype_t dtypes[] = {[SGP_STATE_FLOAT32] = SAFETENSORS_F32,
                                                 [SGP_STATE_FLOAT64] = SAFETENSORS_F64,
                                                 [SGP_STATE_UINT64] = SAFETENSORS_U64};
    return dtypes[item->kind];
}

void checkpoint_item_name(const sgp_state_item_t *item, char name[CHECKPOINT_ITEM_NAME]) {
    snprintf(name, CHECKPOINT_ITEM_NAME, CHECKPOINT_OWN "%s", item->name);
}

bool checkpoint_may_lack(const sgp_state_item_t *item) {
    static const char *const names[] = {"run.test_accuracy5", "run.average_model_accuracy5",
                                        "run.rate_nodes", "run.missed", "run.seat"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(item->name, names[i]) == 0) return true;
    return false;
}

/* What only a run has that has lost a node. */
static void list_losses(run_t *run, sgp_state_t *state) {
    sgp_state_add(state, "run.seat", SGP_STATE_UINT64, &run->data.seat, 1);
    add_doubles(state, "run.missed", &run->missed, sizeof run->missed);
}

/* The same, to be written. false: no memory. */
static bool list_data(run_t *run, contents_t *contents) {
    size_t words;
    bool renumbered = run->losses.count > 0 || run->data.seat != (uint64_t)run->node;
    if (renumbered || run->missed > 0) list_losses(run, &contents->state);
    if (!run_data_is_divided(run)) return true;
    contents->data = run_data_save(run, &words);
    if (contents->data)
        sgp_state_add(&contents->state, "run.data", SGP_STATE_UINT64, contents->data, words);
    return contents->data;
}

/* Adds the items with elements of 8 bytes (wide) or those of 4. z is left out: it is saved under
 * the names of the model's tensors. */
static void add_items(contents_t *contents, bool wide, const float *z) {
    for (size_t i = 0; i < contents->state.count; i++) {
        const sgp_state_item_t *item = &contents->state.items[i];
        if (item->data == z || (item->kind != SGP_STATE_FLOAT32) != wide) continue;
        checkpoint_item_name(item, contents->names[i]);
        contents->shapes[i] = (int64_t)item->count;
        contents->tensors[contents->count++] =
            (safetensors_tensor_t){.name = contents->names[i],
                                   .dims = 1,
                                   .shape = &contents->shapes[i],
                                   .data = item->data,
                                   .dtype = checkpoint_item_dtype(item)};
    }
}

static void contents_destroy(contents_t *contents) {
    if (!contents) return;
    free(contents->data);
    free(contents->tensors);
    free(contents);
}

/* In the order of the file: wide elements first, so that all are aligned. run->times.count is the
 * number of steps to be saved or read. alone: not NULL: the mixer's part is that of a single node. NULL when out of memory, logged; released with
 * contents_destroy. */
static contents_t *contents_create(run_t *run, bool writes, sgp_alone_t *alone) {
    const model_t *model = run->replica.model;
    float *z = sgp_mixer_parameters(run->replica.mixer);
    size_t most = model_tensor_count(model) + SGP_STATE_ITEMS;
    contents_t *contents = calloc(1, sizeof *contents);
    if (contents) contents->tensors = calloc(most, sizeof *contents->tensors);
    if (!contents || !contents->tensors) {
        free(contents);
        sgp_log(SGP_LOG_ERROR, "no memory for the list of %zu tensors", most);
        return NULL;
    }
    checkpoint_state(run, &contents->state);
    if (alone) sgp_mixer_state_alone(run->replica.mixer, &contents->state, alone);
    if (!writes) list_losses(run, &contents->state);
    else if (!list_data(run, contents)) {
        contents_destroy(contents);
        return NULL;
    }
    add_items(contents, true, z);
    contents->count += model_file_tensors(model, z, contents->tensors + contents->count);
    add_items(contents, false, z);
    return contents;
}

/* ---- writing ---- */

static bool is_every(const run_t *run, uint64_t every) {
    return run->options->output && every > 0 && run->step % every == 0;
}

bool checkpoint_due(const run_t *run) {
    return is_every(run, (uint64_t)run->options->checkpoint_every) &&
           run->step != epochs_start_at(&run->replica.epochs, run->step);
}

bool checkpoint_due_after_epoch(const run_t *run) {
    uint64_t every = (uint64_t)run->options->checkpoint_every;
    bool ends = run->step == epochs_total(&run->replica.epochs);
    return is_every(run, every > 0 && !ends ? every : 1);
}

/* Where this node's file goes: after a loss the files are those of the nodes that are there, in the order of rank. */
typedef struct place {
    int number; /* of the file */
    int nodes;  /* with files */
} place_t;

static place_t find_place(const run_t *run) {
    return (place_t){presence_place(run->group, run->rank), run_nodes_left(run)};
}

/* Of a run of one node, whatever the others have. */
static checkpoint_origin_t origin_alone(const run_t *run) {
    return (checkpoint_origin_t){.nodes = 1,
                                 .epochs = epochs_continue(&run->replica.epochs, run->step,
                                                           (uint64_t)run->options->batch_size *
                                                               (uint64_t)run->options->workers),
                                 .resumed = {.step = run->step, .nodes = run->options->nodes}};
}

/* After a loss the nodes that are left are those of a run that goes on from here with fewer. */
static checkpoint_origin_t origin_of(const run_t *run, int nodes) {
    const epochs_t *epochs = &run->replica.epochs;
    checkpoint_origin_t origin = {.nodes = nodes, .epochs = *epochs, .resumed = run->resumed};
    if (nodes == run->options->nodes) return origin;
    if (train_keeps_parts(run->options)) {
        uint64_t of_node = epochs->batch / (uint64_t)run->options->nodes;
        origin.epochs = epochs_continue(epochs, run->step, of_node * (uint64_t)nodes);
    }
    origin.resumed = (train_resumed_t){.step = run->step, .nodes = run->options->nodes};
    return origin;
}

/* directory: of a run. number: of the file. */
static sgp_status_t write_file(run_t *run, const char *directory, const contents_t *contents,
                               const checkpoint_origin_t *origin, int number) {
    char folder[PATH_MAX], name[CHECKPOINT_NAME], epoch[24];
    safetensors_pair_t pairs[CHECKPOINT_LABEL_PAIRS + MODEL_FILE_PAIRS + 1];
    checkpoint_label_t label;
    model_file_about_t about;
    checkpoint_label_init(&label, run->options, origin->nodes, &run->replica, run->id, run->step,
                          number);
    checkpoint_label_add_origin(&label, origin, run->step);
    size_t count = (size_t)label.count;
    memcpy(pairs, label.pairs, count * sizeof *pairs);
    model_file_normalisation_t images = replica_normalisation(&run->replica);
    count += model_file_describe(&about, &images, pairs + count);
    snprintf(epoch, sizeof epoch, "%" PRIu64, epochs_finished(&run->replica.epochs, run->step));
    pairs[count++] = (safetensors_pair_t){"epochs_finished", epoch};
    sgp_status_t status = checkpoint_folder(directory, run->step, folder);
    if (status) return status;
    checkpoint_file_name(number, name);
    return safetensors_write(folder, name, contents->tensors, contents->count, pairs, count);
}

/* A push checks its vector before it absorbs; messages absorbed since then are checked here. */
static sgp_status_t check_finite(run_t *run) {
    const replica_t *replica = &run->replica;
    const float *z = sgp_mixer_parameters(replica->mixer);
    if (run->options->keep_going || sgp_is_finite(replica->parameters + replica->buffers, z))
        return SGP_OK;
    run->cause = RUN_CAUSE_PARAMETERS;
    return SGP_ERR_NOT_FINITE;
}

void checkpoint_restart_clock(run_t *run) {
    double minutes = run->options->checkpoint_minutes;
    bool counts = run_leads_now(run) && run->options->output && minutes > 0;
    halt_due(&run->halt, counts ? sgp_clock_now() + (uint64_t)(minutes * 60e9) : UINT64_MAX);
}

/* Every node removes an old file of this step (of a killed run, or beside damaged files) before any
 * node writes a new one, so a checkpoint never mixes files of two runs; the first one removes all that
 * it sees. *place: among the nodes that are there after it. */
static sgp_status_t prepare(run_t *run, sgp_status_t status, place_t *place) {
    const char *output = run->options->output;
    if (!status) status = checkpoint_folder_prepare(output, run->step, place->number, place->nodes);
    status = agreement_share(run->group, status);
    *place = find_place(run);
    return status;
}

/* After a loss the weights do not add up to the number of nodes until the next exact average. A checkpoint of the nodes that
 * are left is to be one of a run that never had others. */
static sgp_status_t renew_weights(run_t *run, int nodes) {
    sgp_mixer_consensus_t found;
    if (nodes == run->mixed_nodes) return SGP_OK;
    sgp_status_t status = sgp_mixer_balance(run->replica.mixer, &found);
    run->mixed_nodes = run_nodes_left(run);
    return status;
}

static sgp_status_t write_own(run_t *run, const place_t *place) {
    checkpoint_origin_t origin = origin_of(run, place->nodes);
    contents_t *contents = contents_create(run, true, NULL);
    sgp_status_t status =
        contents ? write_file(run, run->options->output, contents, &origin, place->number)
                 : SGP_ERR_NO_MEMORY;
    contents_destroy(contents);
    return status;
}

/* Whether the nodes that are there have agreed to give up the files of this step. A node that was struck off while it slept has
 * not: the others may be writing files of the same names right now. */
static bool is_agreed(sgp_status_t status) {
    return status != SGP_ERR_PEER_LOST && status != SGP_ERR_TIMEOUT && status != SGP_ERR_ENDED;
}

/* One attempt. *whole: no node was lost in it; else the files that are there are of no use. */
static sgp_status_t attempt(run_t *run, sgp_status_t status, bool *whole) {
    const char *output = run->options->output;
    place_t before = find_place(run), place = before;
    status = prepare(run, status, &place);
    if (!status) status = renew_weights(run, place.nodes);
    if (!status) status = run_data_settle(run);
    *whole = !status && before.nodes == place.nodes && run->mixed_nodes == place.nodes &&
             find_place(run).nodes == place.nodes;
    if (!*whole) return status;
    status = agreement_share(run->group, write_own(run, &place));
    *whole = find_place(run).nodes == place.nodes;
    if (!status && *whole) checkpoint_folder_keep(output, run->step, run->saved, place.number);
    else if (is_agreed(status)) checkpoint_folder_remove(output, run->step, place.number);
    return status;
}

/* Each attempt that is made again has lost a node. A node that has removed its file of an attempt takes part in the next
 * call after that, so no node writes before all have. */
static sgp_status_t write_together(run_t *run) {
    sgp_status_t status = check_finite(run);
    bool whole = false;
    do status = attempt(run, status, &whole);
    while (!status && !whole);
    return status;
}

sgp_status_t checkpoint_write(run_t *run) {
    uint64_t start = sgp_clock_now();
    sgp_status_t status = sgp_mixer_settle(run->replica.mixer);
    uint64_t settled = sgp_trace_begin(run->trace.trace);
    if (!status) status = run_losses_check(&run->losses, run->step);
    if (!status) status = write_together(run);
    sgp_trace_end(run->trace.trace, SGP_TRACE_COMPUTING, SGP_TRACE_CHECKPOINT, settled);
    if (!status) status = sgp_mixer_resume(run->replica.mixer);
    if (!status) status = run_losses_agree(&run->losses, run->step);
    if (!status) status = run_data_follow(run);
    if (status == SGP_ERR_PEER_LOST && run_stopped(run)) return SGP_ERR_INTERRUPTED;
    if (status) return status;
    run->saved = run->step;
    checkpoint_restart_clock(run);
    run->epoch_ns += sgp_clock_now() - start;
    return SGP_OK;
}

/* ---- alone ---- */

sgp_status_t checkpoint_write_alone(run_t *run, const char *directory) {
    checkpoint_origin_t origin = origin_alone(run);
    sgp_alone_t alone;
    sgp_status_t status = check_finite(run);
    if (!status) status = checkpoint_folder_prepare(directory, run->step, 0, 1);
    if (status) return status;
    contents_t *contents = contents_create(run, true, &alone);
    if (!contents) return SGP_ERR_NO_MEMORY;
    status = write_file(run, directory, contents, &origin, 0);
    contents_destroy(contents);
    return status;
}

/* ---- reading ---- */

static bool is_alike(const safetensors_tensor_t *tensor, const tensor_file_entry_t *entry) {
    if (!entry || entry->dtype != tensor->dtype || entry->dims != tensor->dims) return false;
    for (int i = 0; i < tensor->dims; i++)
        if (entry->shape[i] != tensor->shape[i]) return false;
    return true;
}

/* name: of a tensor. */
static bool may_be_missing(const contents_t *contents, const char *name) {
    for (size_t i = 0; i < contents->state.count; i++)
        if (name == contents->names[i]) return checkpoint_may_lack(&contents->state.items[i]);
    return false;
}

/* Checks that every tensor is there before it reads any. */
static sgp_status_t read_contents(const tensor_file_t *file, const contents_t *contents,
                                  char problem[TENSOR_FILE_PROBLEM]) {
    for (size_t i = 0; i < contents->count; i++) {
        const char *name = contents->tensors[i].name;
        const tensor_file_entry_t *entry = tensor_file_find(file, name);
        if (is_alike(&contents->tensors[i], entry) || (!entry && may_be_missing(contents, name)))
            continue;
        const char *version = tensor_file_text(file, "sgp_version");
        snprintf(problem, TENSOR_FILE_PROBLEM,
                 "%.300s: written by sgp %.16s, this is " SGP_VERSION ": has no such %s",
                 file->path, version ? version : "?", name);
        return SGP_ERR_FORMAT;
    }
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < contents->count && !status; i++) {
        const tensor_file_entry_t *entry = tensor_file_find(file, contents->tensors[i].name);
        if (!entry) continue;
        status = tensor_file_read(file, entry->begin, (size_t)(entry->end - entry->begin),
                                  (void *)contents->tensors[i].data, problem);
    }
    return status;
}

/* Values that no run writes, in a file with the right hash. */
static sgp_status_t check_state(const run_t *run, uint64_t step, const char *path) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(run->replica.mixer, &statistics);
    bool good = run->step == step && metrics_are_right(&run->metrics) && statistics.weight > 0 &&
                isfinite(statistics.weight);
    return good ? SGP_OK
                : sgp_fail(SGP_ERR_FORMAT,
                           "%s: its step, metrics or push-sum weight is out of range", path);
}

static sgp_status_t read_file(run_t *run, const char *path, uint64_t step) {
    char problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    sgp_status_t status = tensor_file_open(path, &file, problem);
    if (status) return sgp_fail(status, "%s", problem);
    if (run_leads(run)) tensor_file_note(&file);
    run->times.count = step;
    contents_t *contents = contents_create(run, false, NULL);
    if (!contents) status = SGP_ERR_NO_MEMORY;
    else {
        status = read_contents(&file, contents, problem);
        if (!status) status = run_data_load(run, &file, problem);
        if (status) sgp_log(SGP_LOG_ERROR, "%s", problem);
    }
    contents_destroy(contents);
    tensor_file_close(&file);
    return status ? status : check_state(run, step, path);
}

sgp_status_t checkpoint_read(run_t *run, const char *directory, uint64_t step) {
    char path[PATH_MAX];
    uint64_t steps = epochs_total(&run->replica.epochs);
    if (step > steps)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "%s: a checkpoint of step %" PRIu64 " in a run of %" PRIu64 " steps",
                        directory, step, steps);
    sgp_status_t status = checkpoint_file(directory, step, run->rank, path);
    if (!status) status = read_file(run, path, step);
    if (!status) status = sgp_mixer_restored(run->replica.mixer);
    if (!status) run->saved = step;
    return status;
}
