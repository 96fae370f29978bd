/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/resample_axis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The filter of one axis: a triangle of this half width around each output's centre. */
typedef struct filter {
    double scale;   /* inputs per output */
    double support; /* half width, inputs; >= 1 */
    int stride;
} filter_t;

static filter_t filter_of(const resample_span_t *span) {
    filter_t filter = {.scale = (span->end - span->begin) / span->outputs};
    filter.support = filter.scale < 1 ? 1 : filter.scale;
    int most = (int)ceil(filter.support) * 2 + 1;
    filter.stride = (most + RESAMPLE_GROUP - 1) / RESAMPLE_GROUP * RESAMPLE_GROUP;
    return filter;
}

static uint64_t bytes_of(const filter_t *filter, int count) {
    uint64_t weights = (uint64_t)count * (uint64_t)filter->stride;
    return weights * 2 * sizeof(int32_t) + (uint64_t)count * 2 * sizeof(int);
}

uint64_t resample_axis_bytes(const resample_span_t *span) {
    filter_t filter = filter_of(span);
    return bytes_of(&filter, span->count);
}

/* The triangle at input `at`, in PIL's order of operations, so that weights equal its to the last
 * bit. */
static double triangle(const filter_t *filter, double centre, int at) {
    double distance = fabs((at - centre + 0.5) * (1.0 / filter->support));
    return distance < 1 ? 1 - distance : 0;
}

static void set_weights(const filter_t *filter, double centre, int from, int taps,
                        int32_t *weights) {
    double sum = 0;
    for (int t = 0; t < taps; t++) sum += triangle(filter, centre, from + t);
    for (int t = 0; t < taps; t++) {
        double weight = triangle(filter, centre, from + t);
        if (sum != 0) weight /= sum;
        weights[t] = (int32_t)(0.5 + weight * (1 << RESAMPLE_BITS));
    }
}

static void set_groups(const int32_t *weights, int stride, resample_group_t *groups) {
    const int32_t mask = (1 << RESAMPLE_LOWER_BITS) - 1;
    for (int t = 0; t < stride; t++) {
        resample_group_t *group = &groups[t / RESAMPLE_GROUP];
        group->upper[t % RESAMPLE_GROUP] = (int16_t)(weights[t] >> RESAMPLE_LOWER_BITS);
        group->lower[t % RESAMPLE_GROUP] = (int16_t)(weights[t] & mask);
    }
}

static void set_output(resample_axis_t *axis, const resample_span_t *span, const filter_t *filter,
                       int output) {
    double centre = span->begin + (span->skip + output + 0.5) * filter->scale;
    int from = (int)(centre - filter->support + 0.5), end = (int)(centre + filter->support + 0.5);
    if (from < 0) from = 0;
    if (end > span->inputs) end = span->inputs;
    size_t at = (size_t)output * (size_t)axis->stride;
    axis->from[output] = from;
    axis->taps[output] = end - from;
    set_weights(filter, centre, from, end - from, axis->weights + at);
    set_groups(axis->weights + at, axis->stride, axis->groups + at / RESAMPLE_GROUP);
}

/* The inputs that all outputs together need; the filter moves in one direction. */
static void set_inputs(resample_axis_t *axis) {
    int last = axis->count - 1;
    axis->first = axis->from[0];
    axis->end = axis->from[last] + axis->taps[last];
    axis->most = 1;
    for (int i = 0; i < axis->count; i++) {
        axis->from[i] -= axis->first;
        if (axis->taps[i] > axis->most) axis->most = axis->taps[i];
    }
}

sgp_status_t resample_axis_set(resample_axis_t *axis, const resample_span_t *span,
                               decode_reason_t *reason) {
    filter_t filter = filter_of(span);
    uint64_t bytes = bytes_of(&filter, span->count);
    sgp_status_t status = bytes > SIZE_MAX / 2
                              ? decode_fail(reason, SGP_ERR_NO_MEMORY, "no memory")
                              : decode_reserve(reason, &axis->memory, &axis->room, (size_t)bytes);
    if (status) return status;
    memset(axis->memory, 0, (size_t)bytes);
    size_t weights = (size_t)span->count * (size_t)filter.stride;
    axis->count = span->count;
    axis->stride = filter.stride;
    axis->groups = axis->memory;
    axis->weights = (int32_t *)(void *)(axis->groups + weights / RESAMPLE_GROUP);
    axis->from = axis->weights + weights;
    axis->taps = axis->from + span->count;
    for (int i = 0; i < span->count; i++) set_output(axis, span, &filter, i);
    set_inputs(axis);
    return SGP_OK;
}

void resample_axis_fini(resample_axis_t *axis) {
    free(axis->memory);
    *axis = (resample_axis_t){0};
}
