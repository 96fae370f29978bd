/* SPDX-License-Identifier: Apache-2.0 */
/* The weights by which one axis of a picture is resized: PIL's bilinear filter, a triangle that is
 * stretched where the picture shrinks (antialias), in 22 bits of fraction. Output i is the sum of
 * weights[i][t] x input from[i] + t over its taps t. */
#ifndef SGP_DATA_PICTURE_RESAMPLE_AXIS_H
#define SGP_DATA_PICTURE_RESAMPLE_AXIS_H

#include "data/picture/decode.h"

enum { RESAMPLE_BITS = 22 };

/* Four weights at a time, each as upper x 2^12 + lower, so that both fit the 16 bits of vector
 * instructions and the sums stay exact. */
enum { RESAMPLE_LOWER_BITS = 12, RESAMPLE_GROUP = 4 };

typedef struct resample_group {
    int16_t upper[RESAMPLE_GROUP];
    int16_t lower[RESAMPLE_GROUP];
} resample_group_t;

/* Zeros are an empty one. */
typedef struct resample_axis {
    int count;                /* outputs */
    int first, end;           /* inputs that have a weight: first .. end - 1 */
    int most;                 /* taps of the output that has most */
    int *from;                /* (count) inputs, counted from `first` */
    int *taps;                /* (count) >= 1 */
    int stride;               /* weights per output, a multiple of RESAMPLE_GROUP */
    int32_t *weights;         /* (count, stride), 0 behind the taps */
    resample_group_t *groups; /* (count, stride / RESAMPLE_GROUP), the same numbers */
    void *memory;             /* of the four arrays */
    size_t room;
} resample_axis_t;

/* inputs pixels, of which begin .. end become `outputs` ones; outputs `skip` .. skip + count - 1 are
 * wanted. */
typedef struct resample_span {
    int inputs;
    double begin, end; /* 0 <= begin < end <= inputs */
    int outputs, skip, count;
} resample_span_t;

/* Of the axis and the memory that it takes. */
uint64_t resample_axis_bytes(const resample_span_t *span);

/* SGP_ERR_NO_MEMORY. */
sgp_status_t resample_axis_set(resample_axis_t *axis, const resample_span_t *span,
                               decode_reason_t *reason);
void resample_axis_fini(resample_axis_t *axis);

#endif
