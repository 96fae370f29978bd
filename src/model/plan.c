/* SPDX-License-Identifier: Apache-2.0 */
#include "model/plan.h"

#include "base/logging.h"

#include <assert.h>

enum { NONE = -1, MAX_VALUES = NETWORK_MAX_LAYERS + 1 };

typedef struct buffer {
    size_t bytes;
    bool taken;
    void *memory;
} buffer_t;

typedef struct plan {
    int buffer_count;
    buffer_t buffers[2 * MAX_VALUES];
    int data[MAX_VALUES];     /* buffer of a value's data; NONE: memory of its own */
    int slots[MAX_VALUES][2]; /* buffers of a value's gradients */
    int written[MAX_VALUES];  /* gradients of the value that have a writer */
    int d_input[NETWORK_MAX_LAYERS];
} plan_t;

/* The smallest free buffer that is large enough; else the largest free one, made larger. */
static int take(plan_t *plan, size_t bytes) {
    int best = NONE;
    for (int i = 0; i < plan->buffer_count; i++) {
        const buffer_t *buffer = &plan->buffers[i];
        if (buffer->taken) continue;
        if (best == NONE) best = i;
        bool best_fits = plan->buffers[best].bytes >= bytes, fits = buffer->bytes >= bytes;
        bool smaller = buffer->bytes < plan->buffers[best].bytes;
        if (fits ? !best_fits || smaller : !best_fits && !smaller) best = i;
    }
    if (best == NONE) best = plan->buffer_count++;
    buffer_t *buffer = &plan->buffers[best];
    buffer->taken = true;
    if (buffer->bytes < bytes) buffer->bytes = bytes;
    return best;
}

static void give_back(plan_t *plan, int buffer) {
    if (buffer != NONE) plan->buffers[buffer].taken = false;
}

static void write_slot(plan_t *plan, int value, int buffer) {
    assert(plan->written[value] < 2);
    plan->slots[value][plan->written[value]++] = buffer;
}

/* The gradients of a layer's inputs reuse the buffers of its output's gradients where the layer
 * works in place: where no element depends on another that is still needed. */
static void plan_layer(plan_t *plan, int index, const layer_t *layer, const value_t *values) {
    const int *own = plan->slots[index + 1];
    const layer_spec_t *spec = &layer->spec;
    bool in_place = spec->kind == LAYER_BATCH_NORM || spec->kind == LAYER_RELU;
    int spare[2] = {own[0], own[1]};
    if (spec->residual) {
        write_slot(plan, spec->residual, own[0]); /* the masked gradient itself */
        spare[0] = own[1];
        spare[1] = NONE;
    }
    if (spec->input) {
        int buffer = in_place ? spare[0] : NONE;
        if (buffer == NONE) buffer = take(plan, value_gradient_bytes(&values[spec->input]));
        else spare[0] = NONE;
        plan->d_input[index] = buffer;
        write_slot(plan, spec->input, buffer);
    } else {
        assert(spec->kind == LAYER_CONVOLUTION || spec->kind == LAYER_DENSE);
    }
    give_back(plan, spare[0]);
    give_back(plan, spare[1]);
}

/* The last layer that reads the value, if no backward pass reads it; else NONE. The last value is
 * the logits. */
static int last_use(int value, const layer_t *layers, int count) {
    if (value == count || layer_keeps_output(&layers[value - 1])) return NONE;
    int last = NONE;
    for (int i = value; i < count; i++) {
        if (layers[i].spec.input == value && layer_keeps_input(&layers[i])) return NONE;
        if (layers[i].spec.input == value || layers[i].spec.residual == value) last = i;
    }
    return last;
}

/* Values that the backward pass does not read share the buffers, which hold no gradients yet. */
static void plan_forward(plan_t *plan, const layer_t *layers, const value_t *values, int count) {
    int uses[MAX_VALUES];
    for (int i = 0; i < count; i++) {
        uses[i + 1] = last_use(i + 1, layers, count);
        if (uses[i + 1] != NONE) plan->data[i + 1] = take(plan, value_bytes(&values[i + 1]));
        for (int value = 1; value <= i; value++)
            if (uses[value] == i) give_back(plan, plan->data[value]);
    }
}

static void *memory_of(const plan_t *plan, int buffer) {
    return buffer == NONE ? NULL : plan->buffers[buffer].memory;
}

static sgp_status_t allocate(plan_t *plan, value_t *values, int count, arena_t *arena,
                             size_t *shared) {
    size_t own = 0, buffers = 0;
    for (int i = 1; i <= count; i++)
        if (plan->data[i] == NONE) own += arena_block_bytes(value_bytes(&values[i]));
    for (int i = 0; i < plan->buffer_count; i++)
        buffers += arena_block_bytes(plan->buffers[i].bytes);
    if (!arena_reserve(arena, own + buffers))
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for activations of %zu bytes", own + buffers);
    *shared = buffers;
    for (int i = 0; i < plan->buffer_count; i++)
        plan->buffers[i].memory = arena_alloc(arena, plan->buffers[i].bytes);
    for (int i = 1; i <= count; i++) {
        value_t *value = &values[i];
        value->storage = plan->data[i] == NONE ? arena_alloc(arena, value_bytes(value))
                                               : memory_of(plan, plan->data[i]);
        value->data = value->storage;
    }
    return SGP_OK;
}

sgp_status_t plan_memory(layer_t *layers, value_t *values, int count, arena_t *arena,
                         size_t *shared) {
    plan_t plan = {0};
    for (int i = 0; i <= count; i++) plan.data[i] = plan.slots[i][0] = plan.slots[i][1] = NONE;
    for (int i = 0; i < count; i++) plan.d_input[i] = NONE;
    plan_forward(&plan, layers, values, count);
    write_slot(&plan, count, take(&plan, value_gradient_bytes(&values[count])));
    for (int i = count - 1; i >= 0; i--) plan_layer(&plan, i, &layers[i], values);
    sgp_status_t status = allocate(&plan, values, count, arena, shared);
    if (status) return status;
    for (int i = 0; i <= count; i++)
        for (int j = 0; j < 2; j++) values[i].gradients[j] = memory_of(&plan, plan.slots[i][j]);
    for (int i = 0; i < count; i++) layers[i].d_input = memory_of(&plan, plan.d_input[i]);
    return SGP_OK;
}
