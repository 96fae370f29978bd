/* SPDX-License-Identifier: Apache-2.0 */
#include "run/handover.h"

#include "base/bytes.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/saved_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    COUNTS = 3,
    HEAD = COUNTS * 8
}; /* bytes before the block: words of losses, of the data, and of joins */

#define WORD sizeof(uint64_t)

_Static_assert(sizeof(train_loss_t) % WORD == 0, "losses travel as words");
_Static_assert(sizeof(train_join_t) % WORD == 0, "joins travel as words");
_Static_assert(sizeof(epochs_t) % WORD == 0, "epochs travel as words");

typedef struct numbers {
    uint64_t step, saved, written;
    uint64_t reported, met;                          /* of the losses */
    uint64_t epoch, start, told, arrived, making_up; /* of the data */
    uint64_t rate_nodes, mixed_nodes;
    uint64_t resumed_step, resumed_nodes;
    uint64_t warned, writer;
    uint64_t interval, open_steps, lines; /* of the metrics */
    epochs_t epochs;
    uint64_t steps_per_epoch;
    uint64_t split_nodes; /* of the data */
} numbers_t;

typedef struct results {
    double seconds, seconds_before, all_seconds, epoch_end_seconds, missed;
    double train_loss, average_model_accuracy, average_model_accuracy5;
    train_spread_t test_accuracy, test_accuracy5;
    sgp_mixer_consensus_t consensus;
} results_t;

_Static_assert(sizeof(results_t) % sizeof(double) == 0, "results travel as doubles");

/* Everything that travels, where the block is written from and read to. Arrays are owned. */
typedef struct load {
    numbers_t numbers;
    results_t results;
    double at[METRICS_PER_EPOCH]; /* the step of each line of the epoch */
    uint64_t *
        members; /* (places) 4 x uses of the place, 2 if its node is apart, and 1 if it has a node */
    uint64_t *arrivals; /* (2 places) first and met of arrivals_t */
    uint64_t *losses;   /* (loss_words) */
    uint64_t *data;     /* (data_words) */
    uint64_t *joins;    /* (join_words) */
    size_t places, loss_words, data_words, join_words;
} load_t;

static void release(load_t *load) {
    free(load->members);
    free(load->arrivals);
    free(load->losses);
    free(load->data);
    free(load->joins);
}

/* Of the words that load says. */
static sgp_status_t allocate(load_t *load) {
    load->members = calloc(load->places + 1, WORD);
    load->arrivals = calloc(2 * load->places + 1, WORD);
    load->losses = calloc(load->loss_words + 1, WORD);
    load->data = calloc(load->data_words + 1, WORD);
    load->joins = calloc(load->join_words + 1, WORD);
    if (load->members && load->arrivals && load->losses && load->data && load->joins) return SGP_OK;
    release(load);
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the state of the run, %zu words",
                    3 * load->places + load->loss_words + load->data_words + load->join_words);
}

static void list(load_t *load, sgp_state_t *state) {
    sgp_state_add(state, "run.numbers", SGP_STATE_UINT64, &load->numbers,
                  sizeof load->numbers / WORD);
    sgp_state_add(state, "run.results", SGP_STATE_FLOAT64, &load->results,
                  sizeof load->results / sizeof(double));
    sgp_state_add(state, "run.lines", SGP_STATE_FLOAT64, load->at, METRICS_PER_EPOCH);
    sgp_state_add(state, "run.members", SGP_STATE_UINT64, load->members, load->places);
    sgp_state_add(state, "run.arrivals", SGP_STATE_UINT64, load->arrivals, 2 * load->places);
    sgp_state_add(state, "run.losses", SGP_STATE_UINT64, load->losses, load->loss_words);
    sgp_state_add(state, "run.data", SGP_STATE_UINT64, load->data, load->data_words);
    sgp_state_add(state, "run.joins", SGP_STATE_UINT64, load->joins, load->join_words);
}

/* ---- a member ---- */

static numbers_t numbers_of(const run_t *run) {
    const metrics_t *metrics = &run->metrics;
    return (numbers_t){.step = run->step,
                       .saved = run->saved,
                       .written = run->written,
                       .reported = (uint64_t)run->losses.reported,
                       .met = run->losses.met,
                       .epoch = run->data.epoch,
                       .start = run->data.start,
                       .told = (uint64_t)run->data.told,
                       .arrived = (uint64_t)run->data.arrived,
                       .making_up = run->data.making_up,
                       .rate_nodes = run->data.rate_nodes,
                       .mixed_nodes = (uint64_t)run->mixed_nodes,
                       .resumed_step = run->resumed.step,
                       .resumed_nodes = (uint64_t)run->resumed.nodes,
                       .warned = run->warned,
                       .writer = (uint64_t)run->writer,
                       .interval = metrics->interval,
                       .open_steps = metrics->open_steps,
                       .lines = metrics->count,
                       .epochs = run->replica.epochs,
                       .steps_per_epoch = run->replica.steps_per_epoch,
                       .split_nodes = run->data.split_nodes};
}

static results_t results_of(const run_t *run) {
    return (results_t){.seconds = run->seconds,
                       .seconds_before = run->seconds_before,
                       .all_seconds = run->all_seconds,
                       .epoch_end_seconds = run->epoch_end_seconds,
                       .missed = run->missed,
                       .train_loss = run->train_loss,
                       .average_model_accuracy = run->average_model_accuracy,
                       .average_model_accuracy5 = run->average_model_accuracy5,
                       .test_accuracy = run->test_accuracy,
                       .test_accuracy5 = run->test_accuracy5,
                       .consensus = run->consensus};
}

static void fill(const run_t *run, load_t *load) {
    load->numbers = numbers_of(run);
    load->results = results_of(run);
    for (uint64_t i = 0; i < run->metrics.count; i++) load->at[i] = run->metrics.lines[i].step;
    for (size_t r = 0; r < load->places; r++)
        load->members[r] = (uint64_t)run->losses.uses[r] << 2 |
                           (uint64_t)run->losses.apart[r] << 1 | run->losses.members[r];
    for (size_t r = 0; r < load->places && run->arrivals.first; r++) {
        load->arrivals[r] = run->arrivals.first[r];
        load->arrivals[load->places + r] = run->arrivals.met[r];
    }
    memcpy(load->losses, run->losses.agreed, load->loss_words * WORD);
    if (run->joins.count) memcpy(load->joins, run->joins.list, load->join_words * WORD);
    feed_save(run->replica.feed, (unsigned char *)load->data);
}

sgp_status_t handover_save(const run_t *run, void **bytes, size_t *count) {
    load_t load = {.places = (size_t)run->size,
                   .loss_words = (size_t)run->losses.count * sizeof(train_loss_t) / WORD,
                   .data_words = feed_state_bytes(run->replica.feed) / WORD, /* whole words */
                   .join_words = (size_t)run->joins.count * sizeof(train_join_t) / WORD};
    sgp_state_t state = {.count = 0};
    sgp_status_t status = allocate(&load);
    if (status) return status;
    fill(run, &load);
    list(&load, &state);
    size_t size = HEAD + sgp_saved_state_size(run->id, &state);
    unsigned char *made = malloc(size);
    if (made) {
        sgp_bytes_put(made, load.loss_words, 8);
        sgp_bytes_put(made + 8, load.data_words, 8);
        sgp_bytes_put(made + 16, load.join_words, 8);
        sgp_saved_state_write(run->id, &state, made + HEAD);
        *bytes = made;
        *count = size;
    } else {
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the state of the run, %zu bytes", size);
    }
    release(&load);
    return status;
}

/* ---- a newcomer ---- */

static bool epochs_are_right(const run_t *run, const numbers_t *numbers) {
    const epochs_t *epochs = &numbers->epochs, *own = &run->replica.epochs;
    if (epochs->count != own->count || epochs->samples != own->samples) return false;
    if (epochs->batch < 1 || epochs->batch > own->samples * SGP_MOST_PROCESSES) return false;
    if (epochs->steps < 1 || epochs->steps > epochs->samples) return false;
    if (epochs->epoch > epochs->count || epochs->position >= epochs->samples) return false;
    if (epochs->start > numbers->step || epochs->first > numbers->step) return false;
    return numbers->steps_per_epoch >= 1 && numbers->steps_per_epoch <= epochs->samples;
}

static bool numbers_are_right(const run_t *run, const load_t *load, uint64_t losses) {
    const numbers_t *numbers = &load->numbers;
    if (!epochs_are_right(run, numbers) || !(load->results.missed >= 0)) return false;
    if (numbers->step < 1 || numbers->step > epochs_total(&numbers->epochs)) return false;
    if (numbers->start > numbers->step || numbers->epoch >= numbers->epochs.count) return false;
    if (numbers->saved > numbers->step || numbers->told > losses) return false;
    if (numbers->arrived > INT32_MAX) return false;
    if (numbers->reported > losses || numbers->resumed_nodes > SGP_MOST_PROCESSES) return false;
    if (numbers->rate_nodes < 1 || numbers->rate_nodes > SGP_MOST_PROCESSES) return false;
    if (numbers->split_nodes < 1 || numbers->split_nodes > SGP_MOST_PROCESSES) return false;
    if (numbers->mixed_nodes < 1 || numbers->mixed_nodes > load->places) return false;
    if (numbers->writer >= load->places || numbers->interval < 1) return false;
    return numbers->lines <= METRICS_PER_EPOCH && numbers->making_up <= 1 && numbers->warned <= 1;
}

static bool losses_are_right(const run_t *run, const train_loss_t *losses, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const train_loss_t *loss = &losses[i];
        if (loss->node < 0 || loss->node >= run->size) return false;
        if (!memchr(loss->reason, '\0', sizeof loss->reason)) return false;
    }
    return true;
}

static bool joins_are_right(const run_t *run, const train_join_t *joins, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (joins[i].node < 0 || joins[i].node >= run->size) return false;
    return true;
}

static void take_numbers(run_t *run, const numbers_t *numbers) {
    run->step = numbers->step;
    run->saved = numbers->saved;
    run->written = numbers->written;
    run->losses.reported = (int)numbers->reported;
    run->losses.met = numbers->met;
    run->data.epoch = numbers->epoch;
    run->data.start = numbers->start;
    run->data.told = (int)numbers->told;
    run->data.arrived = (int)numbers->arrived;
    run->data.making_up = numbers->making_up;
    run->data.rate_nodes = numbers->rate_nodes;
    run->data.split_nodes = numbers->split_nodes;
    run->mixed_nodes = (int)numbers->mixed_nodes;
    run->resumed = (train_resumed_t){numbers->resumed_step, (int)numbers->resumed_nodes};
    run->warned = numbers->warned;
    run->writer = (int)numbers->writer;
    run->replica.epochs = numbers->epochs;
    run->replica.steps_per_epoch = numbers->steps_per_epoch;
}

static void take_results(run_t *run, const results_t *results) {
    run->seconds = results->seconds;
    run->seconds_before = results->seconds_before;
    run->all_seconds = results->all_seconds;
    run->epoch_end_seconds = results->epoch_end_seconds;
    run->missed = results->missed;
    run->train_loss = results->train_loss;
    run->average_model_accuracy = results->average_model_accuracy;
    run->average_model_accuracy5 = results->average_model_accuracy5;
    run->test_accuracy = results->test_accuracy;
    run->test_accuracy5 = results->test_accuracy5;
    run->consensus = results->consensus;
}

/* The lines of the epoch so far have nothing of this node: no sample, no time, no place. */
static sgp_status_t take_lines(metrics_t *metrics, const load_t *load) {
    memset(metrics->lines, 0, sizeof metrics->lines);
    metrics->interval = load->numbers.interval;
    metrics->open_steps = load->numbers.open_steps;
    metrics->count = load->numbers.lines;
    metrics->open = (metrics_record_t){.step = 0};
    for (uint64_t i = 0; i < metrics->count; i++) metrics->lines[i].step = load->at[i];
    for (size_t i = 0; i < metrics->count * metrics->probe.count; i++) metrics->probes[i] = NAN;
    return metrics_are_right(metrics)
               ? SGP_OK
               : sgp_fail(SGP_ERR_FORMAT, "the lines of the epoch are out of range");
}

/* The newcomers that the others have met, or have still to meet: this one meets them with the others. */
static void take_arrivals(run_t *run, const load_t *load) {
    for (size_t r = 0; r < load->places; r++) {
        run->arrivals.first[r] = load->arrivals[r];
        run->arrivals.met[r] = load->arrivals[load->places + r];
    }
}

static sgp_status_t take(run_t *run, load_t *load) {
    const train_loss_t *losses = (const train_loss_t *)load->losses;
    const train_join_t *joins = (const train_join_t *)load->joins;
    uint64_t count = load->loss_words * WORD / sizeof *losses;
    uint64_t join_count = load->join_words * WORD / sizeof *joins;
    if (!numbers_are_right(run, load, count) || !losses_are_right(run, losses, count) ||
        !joins_are_right(run, joins, join_count))
        return sgp_fail(SGP_ERR_FORMAT, "the state of the run is out of range");
    sgp_status_t status = run_losses_reserve(&run->losses, (int)count);
    if (!status) status = take_lines(&run->metrics, load);
    if (!status) status = run_joins_add(&run->joins, joins, (int)join_count);
    if (status) return status;
    take_numbers(run, &load->numbers);
    take_results(run, &load->results);
    take_arrivals(run, load);
    memcpy(run->losses.agreed, losses, count * sizeof *losses);
    run->losses.count = (int)count;
    for (size_t r = 0; r < load->places; r++) {
        run->losses.members[r] = load->members[r] & 1;
        run->losses.apart[r] = load->members[r] >> 1 & 1;
        run->data.apart += run->losses.apart[r];
        run->losses.uses[r] = (uint32_t)(load->members[r] >> 2);
    }
    free(run->data.saved);
    run->data.saved = (unsigned char *)load->data;
    run->data.saved_bytes = load->data_words * WORD;
    load->data = NULL;
    return SGP_OK;
}

/* false: they make no sense. */
static bool read_counts(load_t *load, const unsigned char *from, size_t count) {
    size_t most = count / WORD;
    if (count < HEAD) return false;
    load->loss_words = (size_t)sgp_bytes_get(from, 8);
    load->data_words = (size_t)sgp_bytes_get(from + 8, 8);
    load->join_words = (size_t)sgp_bytes_get(from + 16, 8);
    return load->loss_words <= most && load->data_words <= most && load->join_words <= most &&
           load->loss_words * WORD % sizeof(train_loss_t) == 0 &&
           load->join_words * WORD % sizeof(train_join_t) == 0;
}

sgp_status_t handover_load(run_t *run, const void *bytes, size_t count) {
    const unsigned char *from = bytes;
    load_t load = {.places = (size_t)run->size};
    sgp_state_t state = {.count = 0};
    if (!read_counts(&load, from, count))
        return sgp_fail(SGP_ERR_INVALID, "these %zu bytes are no state of a run", count);
    sgp_status_t status = allocate(&load);
    if (status) return status;
    list(&load, &state);
    status = sgp_saved_state_read("run", run->id, &state, from + HEAD, count - HEAD);
    if (!status) status = take(run, &load);
    release(&load);
    return status;
}
