/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/loss.h"

#include <math.h>
#include <string.h>

static int index_of_largest(int classes, const float *logits) {
    int best = 0;
    for (int j = 1; j < classes; j++)
        if (logits[j] > logits[best]) best = j;
    return best;
}

/* Whether the label is among the five largest; of equal logits the first counts as larger. A label
 * whose logit is not a number never is. */
static bool among_five(int classes, const float *logits, int label) {
    int before = 0;
    for (int j = 0; j < classes; j++)
        before +=
            j < label ? !(logits[j] < logits[label]) : j > label && !(logits[j] <= logits[label]);
    return before < 5;
}

/* One sample. The largest logit is subtracted first, so that no exponential overflows. */
static double sample_loss(const loss_t *loss, const float *logits, int label, float largest,
                          float *d_logits) {
    double sum = 0.0, others = loss->smoothing / loss->classes, share = 1.0 / (double)loss->valid;
    double wanted = 1.0 - loss->smoothing + others;
    for (int j = 0; j < loss->classes; j++) sum += exp((double)logits[j] - (double)largest);
    for (int j = 0; d_logits && j < loss->classes; j++) {
        double probability = exp((double)logits[j] - (double)largest) / sum;
        d_logits[j] = (float)((probability - (j == label ? wanted : others)) * share);
    }
    if (loss->smoothing == 0.0) return log(sum) - ((double)logits[label] - (double)largest);
    double likely = (1.0 - loss->smoothing) * ((double)logits[label] - (double)largest);
    for (int j = 0; j < loss->classes; j++)
        likely += others * ((double)logits[j] - (double)largest);
    return log(sum) - likely;
}

void loss_softmax(const loss_t *loss, const float *logits, const int32_t *labels, float *d_logits,
                  model_result_t *result) {
    size_t classes = (size_t)loss->classes;
    *result = (model_result_t){0};
    for (int i = 0; i < loss->valid; i++) {
        const float *row = logits + (size_t)i * classes;
        int best = index_of_largest(loss->classes, row);
        result->loss_sum += sample_loss(loss, row, labels[i], row[best],
                                        d_logits ? d_logits + (size_t)i * classes : NULL);
        result->correct += best == labels[i];
        result->correct5 += among_five(loss->classes, row, labels[i]);
    }
    size_t done = (size_t)loss->valid * classes, all = (size_t)loss->count * classes;
    if (d_logits) memset(d_logits + done, 0, (all - done) * sizeof(float));
}
