/* SPDX-License-Identifier: Apache-2.0 */
#include "run/evaluate.h"

uint64_t evaluate_slice(uint64_t count, int rank, int size) {
    uint64_t share = count / (uint64_t)size, left = count % (uint64_t)size;
    return share * (uint64_t)rank + left * (uint64_t)rank / (uint64_t)size;
}

static sgp_status_t add(model_t *model, const evaluate_values_t *values, const feed_batch_t *batch,
                        evaluation_t *sum) {
    model_result_t result;
    sum->left_out += (uint64_t)batch->bad;
    if (batch->count == 0) return SGP_OK;
    sgp_status_t status = model_evaluate(model, values->parameters, values->buffers, batch->images,
                                         batch->labels, batch->count, &result);
    if (status) return status;
    sum->loss_sum += result.loss_sum;
    sum->correct += (uint64_t)result.correct;
    sum->correct5 += (uint64_t)result.correct5;
    sum->count += (uint64_t)batch->count;
    return SGP_OK;
}

sgp_status_t evaluate(feed_t *feed, model_t *model, const evaluate_values_t *values, int count,
                      uint64_t first, uint64_t end, evaluation_t *results) {
    for (int i = 0; i < count; i++) results[i] = (evaluation_t){0};
    feed_begin_test(feed, first, end);
    while (first < end) {
        feed_batch_t batch;
        sgp_status_t status = feed_next(feed, &batch);
        for (int i = 0; i < count && !status; i++)
            status = add(model, &values[i], &batch, &results[i]);
        if (status) return status;
        first += (uint64_t)(batch.count + batch.bad);
    }
    return SGP_OK;
}
