/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/resample.h"

#include <math.h>
#include <stdlib.h>

enum { ROW_ALIGNMENT = 16 }; /* bytes that the pass over rows takes at a time */

static int pitch_of(int count) {
    return (4 * count + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT;
}

uint64_t resample_bytes(const resample_span_t *columns, const resample_span_t *rows) {
    double scale = (rows->end - rows->begin) / rows->outputs;
    uint64_t most = (uint64_t)ceil(scale < 1 ? 1 : scale) * 2 + 2;
    uint64_t row = (uint64_t)pitch_of(columns->count);
    return resample_axis_bytes(columns) + resample_axis_bytes(rows) +
           most * (row + sizeof(uint8_t *)) + row;
}

sgp_status_t resample_begin(resample_t *resample, const resample_span_t *columns,
                            const resample_span_t *rows, const resample_sink_t *sink,
                            decode_reason_t *reason) {
    sgp_status_t status = resample_axis_set(&resample->columns, columns, reason);
    if (!status) status = resample_axis_set(&resample->rows, rows, reason);
    if (status) return status;
    size_t pitch = (size_t)pitch_of(columns->count), most = (size_t)resample->rows.most + 1;
    status = decode_reserve(reason, &resample->kept, &resample->kept_room, most * pitch);
    if (status) return status;
    status = decode_reserve(reason, &resample->window, &resample->window_room,
                            most * sizeof(const uint8_t *));
    if (status) return status;
    resample->pitch = (int)pitch;
    resample->sink = *sink;
    resample->taken = resample->given = 0;
    return decode_reserve(reason, &resample->line, &resample->line_room, pitch);
}

static uint8_t *kept_row(const resample_t *resample, int row) {
    return (uint8_t *)resample->kept +
           (size_t)(row % (resample->rows.most + 1)) * (size_t)resample->pitch;
}

static void give_row(resample_t *resample) {
    const resample_axis_t *rows = &resample->rows;
    const uint8_t **window = resample->window;
    int y = resample->given++;
    for (int t = 0; t < rows->taps[y]; t++) window[t] = kept_row(resample, rows->from[y] + t);
    resample->kernels->rows(rows, y, window, resample->pitch, resample->line);
    resample->sink.row(resample->sink.user, y, resample->line);
}

/* Rows go in pairs; the second one of the last pair may be the first again, whose copy is then
 * overwritten. */
void resample_rows(resample_t *resample, const uint8_t *rows, size_t pitch, int count) {
    const resample_axis_t *axis = &resample->rows;
    for (int i = 0; i < count; i += 2) {
        int two = i + 1 < count;
        const uint8_t *in[] = {rows + (size_t)i * pitch, rows + (size_t)(i + two) * pitch};
        uint8_t *out[] = {kept_row(resample, resample->taken),
                          kept_row(resample, resample->taken + 1)};
        resample->kernels->columns(&resample->columns, in, out);
        resample->taken += 1 + two;
        while (resample->given < axis->count &&
               axis->from[resample->given] + axis->taps[resample->given] <= resample->taken)
            give_row(resample);
    }
}

void resample_fini(resample_t *resample) {
    resample_axis_fini(&resample->columns);
    resample_axis_fini(&resample->rows);
    free(resample->kept);
    free(resample->window);
    free(resample->line);
}
