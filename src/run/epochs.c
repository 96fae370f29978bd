/* SPDX-License-Identifier: Apache-2.0 */
#include "run/epochs.h"

#include <stdbool.h>

static uint64_t rounded_up(uint64_t samples, uint64_t batch) {
    return samples / batch + (samples % batch > 0);
}

epochs_t epochs_make(uint64_t count, uint64_t samples, uint64_t batch) {
    return (epochs_t){
        .count = count, .samples = samples, .batch = batch, .steps = rounded_up(samples, batch)};
}

epochs_t epochs_divide(const epochs_t *epochs, uint64_t epoch, uint64_t start, uint64_t first,
                       uint64_t position, uint64_t batch) {
    epochs_t next = epochs_make(epochs->count, epochs->samples, batch);
    bool over = position == epochs->samples;
    next.epoch = epoch + over;
    next.start = over ? start + first : start;
    next.first = over ? 0 : first;
    next.position = over ? 0 : position;
    return next;
}

epochs_t epochs_continue(const epochs_t *epochs, uint64_t step, uint64_t batch) {
    uint64_t epoch = epochs_finished(epochs, step), start = epochs_start(epochs, epoch);
    return epochs_divide(epochs, epoch, start, step - start, epochs_taken(epochs, step), batch);
}

uint64_t epochs_length(const epochs_t *epochs, uint64_t epoch) {
    if (epoch != epochs->epoch) return epochs->steps;
    return epochs->first + rounded_up(epochs->samples - epochs->position, epochs->batch);
}

uint64_t epochs_start(const epochs_t *epochs, uint64_t epoch) {
    if (epoch <= epochs->epoch) return epochs->start;
    return epochs->start + epochs_length(epochs, epochs->epoch) +
           (epoch - epochs->epoch - 1) * epochs->steps;
}

uint64_t epochs_finished(const epochs_t *epochs, uint64_t step) {
    uint64_t next = epochs_start(epochs, epochs->epoch + 1);
    if (epochs->epoch >= epochs->count || step < next) return epochs->epoch;
    return epochs->epoch + 1 + (step - next) / epochs->steps;
}

uint64_t epochs_start_at(const epochs_t *epochs, uint64_t step) {
    return epochs_start(epochs, epochs_finished(epochs, step));
}

uint64_t epochs_total(const epochs_t *epochs) {
    return epochs_start(epochs, epochs->count);
}

uint64_t epochs_taken(const epochs_t *epochs, uint64_t step) {
    uint64_t epoch = epochs_finished(epochs, step), start = epochs_start(epochs, epoch);
    bool rest = epoch == epochs->epoch;
    uint64_t first = rest ? epochs->first : 0, position = rest ? epochs->position : 0;
    uint64_t taken = position + (step - start - first) * epochs->batch;
    return taken < epochs->samples ? taken : epochs->samples;
}

double epochs_even_step(const epochs_t *epochs, uint64_t step) {
    uint64_t epoch = epochs_finished(epochs, step), start = epochs_start(epochs, epoch);
    if (epoch != epochs->epoch || epochs->first == 0)
        return (double)(epoch * epochs->steps + (step - start));
    return (double)(epoch * epochs->steps) +
           (double)epochs_taken(epochs, step) / (double)epochs->batch;
}
