/* SPDX-License-Identifier: Apache-2.0 */
#include "model/plan.h"

#include "base/logging.h"

#include <assert.h>

enum { NONE = -1, MAX_VALUES = NETWORK_MAX_LAYERS + 1 };

typedef struct buffer {
    size_t floats;
    bool taken;
    float *memory;
} buffer_t;

typedef struct plan {
    int buffer_count;
    buffer_t buffers[2 * MAX_VALUES];
    int slots[MAX_VALUES][2]; /* buffers of a value's gradients */
    int written[MAX_VALUES];  /* gradients of the value that have a writer */
    int d_input[NETWORK_MAX_LAYERS];
} plan_t;

/* The smallest free buffer that is large enough; else the largest free one, made larger. */
static int take(plan_t *plan, size_t floats) {
    int best = NONE;
    for (int i = 0; i < plan->buffer_count; i++) {
        const buffer_t *buffer = &plan->buffers[i];
        if (buffer->taken) continue;
        if (best == NONE) best = i;
        bool best_fits = plan->buffers[best].floats >= floats, fits = buffer->floats >= floats;
        bool smaller = buffer->floats < plan->buffers[best].floats;
        if (fits ? !best_fits || smaller : !best_fits && !smaller) best = i;
    }
    if (best == NONE) best = plan->buffer_count++;
    buffer_t *buffer = &plan->buffers[best];
    buffer->taken = true;
    if (buffer->floats < floats) buffer->floats = floats;
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
        if (buffer == NONE) buffer = take(plan, value_count(&values[spec->input]));
        else spare[0] = NONE;
        plan->d_input[index] = buffer;
        write_slot(plan, spec->input, buffer);
    } else {
        assert(spec->kind == LAYER_CONVOLUTION || spec->kind == LAYER_DENSE);
    }
    give_back(plan, spare[0]);
    give_back(plan, spare[1]);
}

static float *memory_of(const plan_t *plan, int buffer) {
    return buffer == NONE ? NULL : plan->buffers[buffer].memory;
}

sgp_status_t plan_gradients(layer_t *layers, value_t *values, int count, arena_t *arena) {
    plan_t plan = {0};
    for (int i = 0; i <= count; i++) plan.slots[i][0] = plan.slots[i][1] = NONE;
    for (int i = 0; i < count; i++) plan.d_input[i] = NONE;
    write_slot(&plan, count, take(&plan, value_count(&values[count])));
    for (int i = count - 1; i >= 0; i--) plan_layer(&plan, i, &layers[i], values);
    size_t bytes = 0;
    for (int i = 0; i < plan.buffer_count; i++) bytes += arena_floats_bytes(plan.buffers[i].floats);
    if (!arena_reserve(arena, bytes))
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for gradients of %zu bytes", bytes);
    for (int i = 0; i < plan.buffer_count; i++)
        plan.buffers[i].memory = arena_floats(arena, plan.buffers[i].floats);
    for (int i = 0; i <= count; i++)
        for (int j = 0; j < 2; j++) values[i].gradients[j] = memory_of(&plan, plan.slots[i][j]);
    for (int i = 0; i < count; i++) layers[i].d_input = memory_of(&plan, plan.d_input[i]);
    return SGP_OK;
}
