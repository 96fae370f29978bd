/* SPDX-License-Identifier: Apache-2.0 */
#include "run/evaluate.h"

uint32_t evaluate_slice(uint32_t count, int rank, int size) {
    return (uint32_t)((uint64_t)count * (uint64_t)rank / (uint64_t)size);
}

sgp_status_t evaluate(const evaluator_t *evaluator, const float *parameters, const float *buffers,
                      uint32_t first, uint32_t end, evaluation_t *result) {
    evaluation_t sum = {.count = end - first};
    while (first < end) {
        uint32_t left = end - first;
        int count = left < (uint32_t)evaluator->batch ? (int)left : evaluator->batch;
        loader_test(evaluator->loader, first, count, evaluator->images, evaluator->labels);
        model_result_t batch;
        sgp_status_t status = model_evaluate(evaluator->model, parameters, buffers,
                                             evaluator->images, evaluator->labels, count, &batch);
        if (status) return status;
        sum.loss_sum += batch.loss_sum;
        sum.correct += (uint64_t)batch.correct;
        first += (uint32_t)count;
    }
    *result = sum;
    return SGP_OK;
}
